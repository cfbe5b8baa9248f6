// A stream of symbols under contexts: static tables per group of contexts, coded by rANS.
//
// Model (collected with all other models of a frame, then compressed together):
//   u8 table_count; nothing more when it is 0 (no symbol)
//   u8 x context_count: the table of each context, 255 where no symbol has it
//   per table, symbols ascending: (u8 gap = symbols skipped, varint frequency) until 4096 is
//   reached
// Data: u8 lanes (1 or 32), then the rANS bytes (delta/rans.h). Empty when there is no symbol.
//
// A writer and a reader are each for one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/error.h"
#include "delta/byte_stream.h"
#include "delta/histogram.h"
#include "delta/rans.h"

namespace gguf_shard {

class SymbolWriter {
 public:
  explicit SymbolWriter(uint32_t context_count) : context_count_(context_count) {}

  void Reserve(size_t symbol_count) {
    contexts_.reserve(symbol_count);
    symbols_.reserve(symbol_count);
  }
  void Add(uint16_t context, uint8_t symbol) {
    contexts_.push_back(context);
    symbols_.push_back(symbol);
  }
  // Room for `count` more symbols, to be filled by the caller.
  struct Slots {
    uint16_t* contexts;
    uint8_t* symbols;
  };
  Slots Extend(size_t count) {
    const size_t offset = symbols_.size();
    contexts_.resize(offset + count);
    symbols_.resize(offset + count);
    return {contexts_.data() + offset, symbols_.data() + offset};
  }
  size_t size() const { return symbols_.size(); }

  // Appends the model to `model` and returns the data.
  std::vector<std::byte> Encode(uint32_t max_tables, ByteWriter& model) const;

 private:
  uint32_t context_count_;
  std::vector<uint16_t> contexts_;
  std::vector<uint8_t> symbols_;
};

class SymbolReader {
 public:
  // The tables of this many contexts beyond the last can be looked at by who decodes by himself.
  static constexpr uint32_t kContextPadding = 32;

  // Takes its model from `model`; `data` must outlive the reader.
  static Result<SymbolReader> Create(uint32_t context_count, ByteReader& model,
                                     std::span<const std::byte> data);

  // Decodes `count` symbols with these contexts (each below context_count). A context that no
  // symbol was encoded with is damaged input: reported by Finish.
  void Read(const uint16_t* contexts, size_t count, uint8_t* symbols);
  uint8_t ReadOne(uint16_t context) {
    if (decoder_) return decoder_->DecodeOne(context);
    bad_context_ = true;
    return 0;
  }
  // Nothing when the stream has no symbol.
  RansDecoder* decoder() { return decoder_ ? &*decoder_ : nullptr; }
  Result<void> Finish() const;

 private:
  SymbolReader() = default;

  // By context, and kContextPadding more. Contexts without a table have one more that gives zeros,
  // after the others.
  std::vector<uint32_t> first_slot_;
  std::vector<RansSlot> slots_;
  uint32_t table_slots_ = 0;
  std::optional<RansDecoder> decoder_;
  bool bad_context_ = false;
};

}  // namespace gguf_shard
