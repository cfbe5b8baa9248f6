// Collects the changed bytes of tensors into frames, one open frame per pair of types, and encodes
// full ones on worker threads straight into the patch file. For one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/error.h"
#include "delta/patch_io.h"
#include "delta/spare_buffers.h"
#include "delta/task_group.h"

namespace gguf_shard {

class FrameBuilder {
 public:
  // Target bytes of a full frame: large enough to carry its tables, small enough to be decoded for
  // a few pages.
  static constexpr uint64_t kFrameBytes = uint64_t{1} << 20;

  // `writer` must outlive the builder; Flush before it is finished.
  FrameBuilder(PatchWriter& writer, DeltaLevel level, uint32_t thread_count)
      : writer_(writer), level_(level), tasks_(thread_count) {}

  // Adds bytes (whole blocks, at most kFrameBytes); returns the frame that holds them.
  Result<uint32_t> Add(const FrameTypes& types, std::span<const std::byte> target,
                       std::span<const std::byte> base);
  // A source header, compressed against the base's headers.
  Result<uint32_t> AddHeader(std::span<const std::byte> header,
                             std::span<const std::byte> reference);
  // A frame of its own (gaps), at most kMaxFrameTargetBytes.
  Result<uint32_t> AddAlone(std::span<const std::byte> target);

  // Ends all open frames and waits until everything is written.
  Result<void> Flush();

 private:
  struct OpenFrame {
    uint32_t number;
    FrameTypes types;
    std::vector<std::byte> target;
    std::vector<std::byte> base;
  };
  Result<void> Dispatch(OpenFrame frame);
  void KeepBuffer(std::vector<std::byte> buffer);

  PatchWriter& writer_;
  DeltaLevel level_;
  uint32_t next_number_ = 0;
  uint64_t next_sequence_ = 0;
  std::vector<OpenFrame> open_;
  SpareBuffers<std::vector<std::byte>> buffers_{16};
  TaskGroup tasks_;
};

}  // namespace gguf_shard
