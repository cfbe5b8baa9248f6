// A recording of which shards a run used, in order: what `gguf-shard run --trace` writes and
// `gguf-shard simulate` replays. docs/FORMAT-TRACE.md draws the bytes:
//
//   "GSTRACE\n" | u32 version 1 | u32 shard_count | 16 bytes core id
//   shard_count x { u32 page_count | u32 flags: bit 0, the shard is used in every pass }
//   records of varints (seven bits a byte, low bits first, shortest form):
//     0, n    a pass over n tokens begins (n > 0); or, with n = 0, the trace ends
//     k       shard k - 1 is used
//
// Shards are numbered as in the map. Gathered embedding rows are left out: they are no matrices.
// A trace ends with its end record and nothing after it, so that one cut short is noticed.
// Thread-safety: a Trace is plain data; a TraceWriter is for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/map.h"

namespace gguf_shard {

inline constexpr uint32_t kTraceVersion = 1;
inline constexpr uint64_t kMaxTraceBytes = uint64_t{256} << 20;

struct TraceShard {
  uint32_t page_count = 0;
  bool scheduled = false;  // used in every pass
};

struct TracePass {
  uint32_t token_count = 0;
  size_t first_use = 0;  // into Trace::uses; it ends where the next one begins
};

struct Trace {
  CoreId core_id{};
  std::vector<TraceShard> shards;
  std::vector<TracePass> passes;
  std::vector<uint32_t> uses;  // shards

  std::span<const uint32_t> UsesOf(size_t pass_index) const;
};

// Trusts nothing: kMalformed, kTruncated or kUnsupported with the offset.
Result<Trace> ParseTrace(std::span<const std::byte> bytes);
Result<Trace> ReadTrace(const std::filesystem::path& path);

// Writes a trace as it happens, through a small buffer. Nothing is left behind without Finish.
class TraceWriter {
 public:
  static Result<TraceWriter> Create(const std::filesystem::path& path, const CoreMap& map,
                                    std::span<const uint32_t> scheduled_tensors);

  void BeginPass(uint32_t token_count);
  void Use(uint64_t shard_id);
  // Ends the trace and gives the file its name. The first error of any write comes here.
  Result<void> Finish();

 private:
  explicit TraceWriter(OutputFile output) : output_(std::move(output)) {}
  template <typename T>
  void PutFixed(T value);
  void PutVarint(uint64_t value);
  void Flush();

  OutputFile output_;
  std::vector<std::byte> buffer_;
  uint64_t written_bytes_ = 0;
  Result<void> outcome_;
};

}  // namespace gguf_shard
