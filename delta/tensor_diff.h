// The difference of one target tensor to its base: runs of equal bytes become copies, moved rows
// are looked up, everything else goes to frames. For one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/progress.h"
#include "delta/frame_builder.h"
#include "delta/model_view.h"
#include "delta/patch.h"
#include "delta/row_index.h"
#include "delta/target_hasher.h"

namespace gguf_shard {

class TensorDiffer {
 public:
  // Equal runs are found at this granularity.
  static constexpr uint64_t kChunkBytes = uint64_t{64} << 10;

  // `search_all`: rows are looked up in tensors of unchanged size, too.
  // `hasher` is offered all that is read of the target.
  TensorDiffer(const ModelView& base, const ModelView& target, FrameBuilder& frames,
               TargetHasher& hasher, bool search_all, Progress& progress)
      : base_(base),
        target_(target),
        frames_(frames),
        hasher_(hasher),
        search_all_(search_all),
        progress_(progress) {}

  struct Outcome {
    std::vector<PatchSpan> spans;
    Xxh128Digest target_digest{};
    std::optional<Xxh128Digest> base_digest;  // where all of the base tensor was read
  };
  // `base_tensor`: what predicts the tensor; nothing for an added one.
  Result<Outcome> Diff(uint32_t target_tensor, std::optional<uint32_t> base_tensor);

 private:
  // What one Diff works on.
  struct Job {
    uint32_t target_tensor;
    std::optional<uint32_t> base_tensor;
    FrameTypes types;
    uint64_t target_bytes;
    uint64_t base_bytes;
    uint64_t row_bytes;
    std::optional<RowIndex> rows;  // built when a first chunk differs
    bool search_rows;
    std::vector<PatchSpan> spans;
  };
  Job MakeJob(uint32_t target_tensor, std::optional<uint32_t> base_tensor) const;
  Result<void> DiffChunk(Job& job, uint64_t offset, std::span<const std::byte> target,
                         std::span<const std::byte> base);
  Result<void> SearchRows(Job& job, uint64_t offset, std::span<const std::byte> target,
                          std::span<const std::byte> base);
  Result<uint64_t> MovedRun(Job& job, uint64_t offset, std::span<const std::byte> target,
                            uint64_t& base_offset);
  Result<void> Code(Job& job, uint64_t offset, std::span<const std::byte> target,
                    std::span<const std::byte> base);
  static void AddCopy(Job& job, uint64_t base_offset, uint64_t byte_size);

  const ModelView& base_;
  const ModelView& target_;
  FrameBuilder& frames_;
  TargetHasher& hasher_;
  bool search_all_;
  Progress& progress_;
  std::vector<std::byte> base_buffer_;  // fresh memory for every tensor costs as much as reading it
};

}  // namespace gguf_shard
