// The streams of one frame: several symbol streams, their models compressed together, raw bits.
//
//   varint model bytes, varint compressed model bytes, varint data bytes of each stream,
//   varint raw bytes | zstd model | data of each stream | raw bits
//
// StreamWriter and StreamReader have the same interface for symbols, so that a codec describes its
// fields once: Code() takes the symbol when writing and gives it when reading. For one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "delta/symbol_stream.h"
#include "delta/tokens.h"

namespace gguf_shard {

inline constexpr uint64_t kMaxModelBytes = uint64_t{1} << 20;

class StreamWriter {
 public:
  static constexpr bool kReads = false;

  explicit StreamWriter(std::span<const uint32_t> context_counts) {
    for (const uint32_t count : context_counts) streams_.emplace_back(count);
  }

  void Reserve(uint32_t stream, size_t symbol_count) { streams_[stream].Reserve(symbol_count); }
  uint8_t Code(uint32_t stream, uint16_t context, uint8_t symbol) {
    streams_[stream].Add(context, symbol);
    return symbol;
  }
  void CodeMany(uint32_t stream, const uint16_t* contexts, size_t count, uint8_t* symbols) {
    const auto slots = streams_[stream].Extend(count);
    std::memcpy(slots.contexts, contexts, count * sizeof(uint16_t));
    std::memcpy(slots.symbols, symbols, count);
  }
  // A symbol whose token may have raw bits, standing for `magnitude`.
  uint32_t CodeMagnitude(uint32_t, uint32_t magnitude) {
    raw_.PutMagnitude(magnitude);
    return magnitude;
  }

  std::vector<std::byte> Finish(uint32_t max_tables);

 private:
  std::vector<SymbolWriter> streams_;
  BitWriter raw_;
};

class StreamReader {
 public:
  static constexpr bool kReads = true;

  static Result<StreamReader> Create(std::span<const uint32_t> context_counts,
                                     std::span<const std::byte> payload);

  uint8_t Code(uint32_t stream, uint16_t context, uint8_t) {
    return streams_[stream].ReadOne(context);
  }
  void CodeMany(uint32_t stream, const uint16_t* contexts, size_t count, uint8_t* symbols) {
    streams_[stream].Read(contexts, count, symbols);
  }
  uint32_t CodeMagnitude(uint32_t token, uint32_t) { return raw_.GetMagnitude(token); }
  SymbolReader& reader(uint32_t stream) { return streams_[stream]; }

  // kMalformed unless everything was read.
  Result<void> Finish() const;

 private:
  explicit StreamReader(std::span<const std::byte> raw) : raw_(raw) {}

  std::vector<SymbolReader> streams_;
  BitReader raw_;
};

}  // namespace gguf_shard
