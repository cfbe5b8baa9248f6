// The target of a patch as a ModelView, without writing it: changed bytes are decoded from the
// patch when they are asked for, all others are read from the base. Views stack: a patched view may
// be the base of another one. Thread-safe like every ModelView.
#pragma once

#include <memory>

#include "delta/decoded_frames.h"
#include "delta/model_view.h"
#include "delta/patch_io.h"

namespace gguf_shard {

// Whether the base is the one that the patch was made from: sizes first, then the content digest.
// kMismatch says what differs. With `trust_digests`, the digests of a map are taken as they are.
Result<void> CheckBase(const Patch& patch, const ModelView& base, bool trust_digests,
                       uint32_t thread_count = 0);

class PatchedView final : public ModelView {
 public:
  // Decoded frames that are kept for later reads.
  static constexpr uint64_t kDefaultCacheBytes = uint64_t{16} << 20;

  // `patch` and `base` must outlive the view. Checks everything about the patch that CheckBase and
  // ParseDirectory do not: the target's headers, the spans against both sides' tensors.
  static Result<std::unique_ptr<PatchedView>> Create(const PatchReader& patch,
                                                     const ModelView& base,
                                                     uint64_t cache_bytes = kDefaultCacheBytes);

  Result<void> ReadTensor(uint32_t tensor_index, uint64_t offset,
                          std::span<std::byte> target) const override;
  Result<void> ReadGap(uint32_t file_index, const ViewGap& gap, uint64_t offset,
                       std::span<std::byte> target) const override;
  std::optional<FileExtent> FindExtent(uint32_t tensor_index, uint64_t offset,
                                       uint64_t length) const override;

  bool IsUnchanged(uint32_t tensor_index, uint64_t offset, uint64_t length) const override;

 private:
  // A part of a frame: which bytes of which base tensor predict it.
  struct FramePart {
    uint32_t base_tensor = 0;
    uint64_t base_offset = 0;
    uint64_t base_bytes = 0;
  };
  struct Span {
    uint64_t target_offset = 0;
    uint64_t byte_size = 0;
    uint64_t base_offset = 0;
    std::optional<uint32_t> frame;
    uint64_t frame_offset = 0;
  };
  struct TensorPlan {
    std::optional<uint32_t> base_tensor;
    std::optional<uint32_t> kept_from;
    std::vector<Span> spans;  // empty when kept
  };

  PatchedView(const PatchReader& patch, const ModelView& base, uint64_t cache_bytes);
  Result<std::vector<ViewFile>> ReadFiles() const;
  Result<GgufHeader> ReadHeader(const PatchFile& file) const;
  Result<void> PlanTensors();
  Result<void> PlanChanged(const PatchTensor& entry, uint32_t tensor_index);
  Result<Span> PlanSpan(const PatchSpan& span, const ViewTensor& tensor, TensorPlan& plan,
                        uint64_t target_offset);
  Result<void> PlanKept(uint32_t tensor_index);
  Result<FrameBytes> GetFrame(uint32_t frame) const;
  Result<FrameBytes> Decode(uint32_t frame) const;

  const PatchReader& patch_;
  const ModelView& base_;
  std::vector<TensorPlan> plans_;                    // by tensor index
  std::vector<std::vector<FramePart>> frame_parts_;  // by frame, in order
  std::vector<uint64_t> frame_filled_;               // target bytes planned so far, by frame
  mutable DecodedFrames cache_;
};

}  // namespace gguf_shard
