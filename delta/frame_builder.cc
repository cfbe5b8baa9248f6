#include "delta/frame_builder.h"

#include <algorithm>

#include "core/check.h"
#include "delta/zstd.h"

namespace gguf_shard {
namespace {

// zstd's strongest levels are slow; headers beyond this (large vocabularies) get a quicker one.
constexpr size_t kLargeHeaderBytes = size_t{2} << 20;
constexpr int kHeaderZstdLevel = 19;
constexpr int kQuickHeaderZstdLevel = 9;

}  // namespace

Result<uint32_t> FrameBuilder::Add(const FrameTypes& types, std::span<const std::byte> target,
                                   std::span<const std::byte> base) {
  GS_CHECK(target.size() <= kFrameBytes);
  auto place = std::find_if(open_.begin(), open_.end(),
                            [&](const OpenFrame& frame) { return frame.types == types; });
  if (place != open_.end() && (place->target.size() + target.size() > kFrameBytes ||
                               place->base.size() + base.size() > kMaxFrameBaseBytes)) {
    OpenFrame full = std::move(*place);
    open_.erase(place);
    place = open_.end();
    GS_TRY(Dispatch(std::move(full)));
  }
  if (place == open_.end()) {
    open_.push_back({next_number_++, types, buffers_.Take(), buffers_.Take()});
    open_.back().target.reserve(kFrameBytes);
    open_.back().base.reserve(kFrameBytes);
    place = open_.end() - 1;
  }
  place->target.insert(place->target.end(), target.begin(), target.end());
  place->base.insert(place->base.end(), base.begin(), base.end());
  return place->number;
}

Result<uint32_t> FrameBuilder::AddHeader(std::span<const std::byte> header,
                                         std::span<const std::byte> reference) {
  PatchFrame frame;
  frame.target_bytes = static_cast<uint32_t>(header.size());
  frame.method = FrameMethod::kBytes;
  const bool quick = level_ == DeltaLevel::kFast || header.size() > kLargeHeaderBytes;
  const int zstd_level = quick ? kQuickHeaderZstdLevel : kHeaderZstdLevel;
  GS_TRY(writer_.AddFrame(next_number_, next_sequence_++, frame,
                          ZstdCompress(header, zstd_level, reference)));
  return next_number_++;
}

Result<uint32_t> FrameBuilder::AddAlone(std::span<const std::byte> target) {
  GS_CHECK(target.size() <= kMaxFrameTargetBytes);
  const uint32_t number = next_number_++;
  GS_TRY(Dispatch({number, {TensorType::kI8, std::nullopt}, {target.begin(), target.end()}, {}}));
  return number;
}

Result<void> FrameBuilder::Dispatch(OpenFrame frame) {
  // Shared, because a std::function must be copyable.
  auto shared = std::make_shared<OpenFrame>(std::move(frame));
  const uint64_t sequence = next_sequence_++;
  return tasks_.Submit([this, shared, sequence]() -> Result<void> {
    EncodedFrame encoded = EncodeFrame(shared->types, shared->target, shared->base, level_);
    PatchFrame entry;
    entry.target_bytes = static_cast<uint32_t>(shared->target.size());
    entry.method = encoded.method;
    entry.types = shared->types;
    KeepBuffer(std::move(shared->target));
    KeepBuffer(std::move(shared->base));
    return writer_.AddFrame(shared->number, sequence, entry, std::move(encoded.payload));
  });
}

void FrameBuilder::KeepBuffer(std::vector<std::byte> buffer) {
  buffer.clear();
  if (buffer.capacity() <= 2 * kFrameBytes) buffers_.Keep(std::move(buffer));
}

Result<void> FrameBuilder::Flush() {
  for (OpenFrame& frame : open_) GS_TRY(Dispatch(std::move(frame)));
  open_.clear();
  return tasks_.Wait();
}

}  // namespace gguf_shard
