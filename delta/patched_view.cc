#include "delta/patched_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "delta/zstd.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxKeptBytes = uint64_t{4} << 20;

Error Wrong(std::string_view what, const std::string& tensor) {
  return Error(ErrorCode::kMalformed, std::string(what)).Tensor(tensor);
}

// What the headers of a target are compressed against: the base's headers, one after the other.
std::vector<std::byte> HeaderReference(const ModelView& base) {
  std::vector<std::byte> reference;
  for (const ViewFile& file : base.files()) {
    reference.insert(reference.end(), file.header.bytes().begin(), file.header.bytes().end());
  }
  return reference;
}

}  // namespace

Result<void> CheckBase(const Patch& patch, const ModelView& base, bool trust_digests,
                       uint32_t thread_count) {
  const Error mismatch(ErrorCode::kMismatch, "the base is not the one the patch was made from");
  if (patch.base_files.size() != base.files().size()) {
    return Fail(Error(mismatch)
                    .Expected(fmt::format("{} files", patch.base_files.size()))
                    .Found(fmt::format("{} files", base.files().size())));
  }
  for (size_t i = 0; i < patch.base_files.size(); ++i) {
    if (patch.base_files[i].byte_size == base.files()[i].byte_size) continue;
    return Fail(Error(mismatch)
                    .File(base.files()[i].name)
                    .Expected(fmt::format("{} bytes", patch.base_files[i].byte_size))
                    .Found(fmt::format("{} bytes", base.files()[i].byte_size)));
  }
  GS_ASSIGN(const Xxh128Digest digest, ContentDigest(base, trust_digests, thread_count));
  if (digest == patch.base_digest) return {};
  return Fail(Error(mismatch)
                  .File(base.files().front().name)
                  .Expected("content " + ToHex(patch.base_digest))
                  .Found("content " + ToHex(digest)));
}

PatchedView::PatchedView(const PatchReader& patch, const ModelView& base, uint64_t cache_bytes)
    : patch_(patch),
      base_(base),
      frame_parts_(patch.patch().frames.size()),
      frame_filled_(patch.patch().frames.size(), 0),
      cache_(cache_bytes) {}

Result<std::unique_ptr<PatchedView>> PatchedView::Create(const PatchReader& patch,
                                                         const ModelView& base,
                                                         uint64_t cache_bytes) {
  std::unique_ptr<PatchedView> view(new PatchedView(patch, base, cache_bytes));
  GS_ASSIGN(std::vector<ViewFile> files, view->ReadFiles());
  GS_TRY(view->SetFiles(std::move(files)));
  GS_TRY(view->PlanTensors());
  return view;
}

Result<GgufHeader> PatchedView::ReadHeader(const PatchFile& file) const {
  GS_ASSIGN(const auto payload, patch_.ReadPayload(file.header_frame));
  std::vector<std::byte> bytes(file.header_bytes);
  GS_TRY(ZstdDecompress(payload, bytes, HeaderReference(base_)));
  GS_ASSIGN(GgufHeader header, ParseGgufHeader(bytes, file.byte_size));
  if (header.bytes().size() != file.header_bytes) {
    return Fail(Error(ErrorCode::kMalformed, "the patch's source header has another size")
                    .File(file.name)
                    .Expected(static_cast<uint64_t>(header.bytes().size()))
                    .Found(file.header_bytes));
  }
  return header;
}

Result<std::vector<ViewFile>> PatchedView::ReadFiles() const {
  std::vector<ViewFile> files;
  for (const PatchFile& entry : patch_.patch().files) {
    ViewFile file;
    file.name = entry.name;
    file.byte_size = entry.byte_size;
    file.sha256 = entry.sha256;
    GS_ASSIGN(file.header, ReadHeader(entry));
    for (const PatchGap& gap : entry.gaps) file.gaps.push_back({gap.offset, gap.byte_size});
    files.push_back(std::move(file));
  }
  return files;
}

Result<void> PatchedView::PlanTensors() {
  plans_.resize(tensors_.size());
  std::vector<bool> planned(tensors_.size(), false);
  for (const PatchTensor& entry : patch_.patch().tensors) {
    const auto index = FindTensor(entry.name);
    if (!index) return Fail(Wrong("the patch changes a tensor that its header lacks", entry.name));
    GS_TRY(PlanChanged(entry, *index));
    planned[*index] = true;
  }
  for (uint32_t i = 0; i < tensors_.size(); ++i) {
    if (!planned[i]) GS_TRY(PlanKept(i));
  }
  return {};
}

Result<void> PatchedView::PlanKept(uint32_t tensor_index) {
  const ViewTensor& tensor = tensors_[tensor_index];
  const auto base_index = base_.FindTensor(tensor.name);
  if (!base_index || base_.tensors()[*base_index].byte_size != tensor.byte_size ||
      base_.tensors()[*base_index].type != tensor.type) {
    return Fail(Error(ErrorCode::kMismatch, "the base lacks a tensor that the patch keeps")
                    .Tensor(tensor.name));
  }
  plans_[tensor_index].base_tensor = base_index;
  plans_[tensor_index].kept_from = base_index;
  return {};
}

Result<void> PatchedView::PlanChanged(const PatchTensor& entry, uint32_t tensor_index) {
  const ViewTensor& tensor = tensors_[tensor_index];
  TensorPlan& plan = plans_[tensor_index];
  if (entry.base_name) {
    plan.base_tensor = base_.FindTensor(*entry.base_name);
    if (!plan.base_tensor) {
      return Fail(Error(ErrorCode::kMismatch, "the base lacks a tensor that the patch needs")
                      .Tensor(*entry.base_name));
    }
  }
  uint64_t offset = 0;
  for (const PatchSpan& span : entry.spans) {
    if (span.byte_size > tensor.byte_size - offset) {
      return Fail(Wrong("the patch's spans are longer than their tensor", entry.name));
    }
    GS_ASSIGN(const Span planned, PlanSpan(span, tensor, plan, offset));
    plan.spans.push_back(planned);
    offset += span.byte_size;
  }
  if (offset != tensor.byte_size) {
    return Fail(Wrong("the patch's spans are shorter than their tensor", entry.name)
                    .Expected(tensor.byte_size)
                    .Found(offset));
  }
  return {};
}

Result<PatchedView::Span> PatchedView::PlanSpan(const PatchSpan& span, const ViewTensor& tensor,
                                                TensorPlan& plan, uint64_t target_offset) {
  Span planned{target_offset, span.byte_size, span.base_offset, span.frame, 0};
  uint64_t base_bytes = span.byte_size;
  if (span.frame) {
    const FrameTypes& types = patch_.patch().frames[*span.frame].types;
    const auto frame_base_bytes = FrameBaseBytes(types, span.byte_size);
    if (types.target_type != tensor.type || !frame_base_bytes) {
      return Fail(Wrong("a frame of the patch is not of its tensor's type", tensor.name));
    }
    if (types.base_type && *types.base_type != base_.tensors()[*plan.base_tensor].type) {
      return Fail(Wrong("a frame of the patch is not of its base tensor's type", tensor.name));
    }
    base_bytes = *frame_base_bytes;
    planned.frame_offset = frame_filled_[*span.frame];
    frame_filled_[*span.frame] += span.byte_size;
    frame_parts_[*span.frame].push_back(
        {types.base_type ? *plan.base_tensor : 0, span.base_offset, base_bytes});
    if (!types.base_type) return planned;
  }
  const uint64_t available = base_.tensors()[*plan.base_tensor].byte_size;
  if (span.base_offset > available || base_bytes > available - span.base_offset) {
    return Fail(Wrong("the patch reads beyond its base tensor", tensor.name)
                    .Offset(span.base_offset)
                    .Expected(available));
  }
  return planned;
}

Result<FrameBytes> PatchedView::Decode(uint32_t frame) const {
  const PatchFrame& entry = patch_.patch().frames[frame];
  GS_ASSIGN(const auto payload, patch_.ReadPayload(frame));
  // Kept by the thread, because clearing fresh memory costs as much as filling it; taken away
  // meanwhile, because the base may be patched, too.
  thread_local std::vector<std::byte> kept;
  std::vector<std::byte> buffer = std::move(kept);
  std::span<std::byte> base;
  if (entry.types.base_type) {
    const uint64_t base_bytes = *FrameBaseBytes(entry.types, entry.target_bytes);
    if (buffer.size() < base_bytes) buffer.resize(base_bytes);
    base = std::span(buffer).first(base_bytes);
    std::span<std::byte> rest = base;
    for (const FramePart& part : frame_parts_[frame]) {
      GS_TRY(base_.ReadTensor(part.base_tensor, part.base_offset, rest.first(part.base_bytes)));
      rest = rest.subspan(part.base_bytes);
    }
  }
  FreshFrame target = cache_.Room(entry.target_bytes);
  auto decoded = DecodeFrame(entry.method, entry.types, payload, base, *target);
  if (buffer.size() <= kMaxKeptBytes) kept = std::move(buffer);
  if (!decoded) {
    return Fail(std::move(decoded.error()).File(patch_.path().string()).Offset(entry.offset));
  }
  return FrameBytes(std::move(target));
}

Result<FrameBytes> PatchedView::GetFrame(uint32_t frame) const {
  return cache_.Get(frame, [&] { return Decode(frame); });
}

Result<void> PatchedView::ReadTensor(uint32_t tensor_index, uint64_t offset,
                                     std::span<std::byte> target) const {
  GS_CHECK(offset + target.size() <= tensors_[tensor_index].byte_size);
  const TensorPlan& plan = plans_[tensor_index];
  if (plan.kept_from) return base_.ReadTensor(*plan.kept_from, offset, target);
  auto span = std::upper_bound(plan.spans.begin(), plan.spans.end(), offset,
                               [](uint64_t o, const Span& s) { return o < s.target_offset; });
  if (span != plan.spans.begin()) --span;
  while (!target.empty()) {
    const uint64_t inside = offset - span->target_offset;
    const uint64_t count = std::min<uint64_t>(target.size(), span->byte_size - inside);
    if (span->frame) {
      GS_ASSIGN(const FrameBytes frame, GetFrame(*span->frame));
      std::memcpy(target.data(), frame->data() + span->frame_offset + inside, count);
    } else {
      GS_TRY(base_.ReadTensor(*plan.base_tensor, span->base_offset + inside, target.first(count)));
    }
    offset += count;
    target = target.subspan(count);
    ++span;
  }
  return {};
}

Result<void> PatchedView::ReadGap(uint32_t file_index, const ViewGap& gap, uint64_t offset,
                                  std::span<std::byte> target) const {
  for (const PatchGap& entry : patch_.patch().files[file_index].gaps) {
    if (entry.offset != gap.offset) continue;
    GS_ASSIGN(const FrameBytes frame, GetFrame(entry.frame));
    GS_CHECK(offset + target.size() <= frame->size());
    std::memcpy(target.data(), frame->data() + offset, target.size());
    return {};
  }
  return Fail(ErrorCode::kNotFound, "the patch has no such gap");
}

std::optional<FileExtent> PatchedView::FindExtent(uint32_t tensor_index, uint64_t offset,
                                                  uint64_t length) const {
  const TensorPlan& plan = plans_[tensor_index];
  if (plan.kept_from) return base_.FindExtent(*plan.kept_from, offset, length);
  for (const Span& span : plan.spans) {
    const bool inside = offset >= span.target_offset && length <= span.byte_size &&
                        offset - span.target_offset <= span.byte_size - length;
    if (inside && !span.frame) {
      return base_.FindExtent(*plan.base_tensor, span.base_offset + (offset - span.target_offset),
                              length);
    }
  }
  return std::nullopt;
}

bool PatchedView::IsUnchanged(uint32_t tensor_index, uint64_t offset, uint64_t length) const {
  const TensorPlan& plan = plans_[tensor_index];
  const auto same_name = base_.FindTensor(tensors_[tensor_index].name);
  if (!plan.base_tensor || plan.base_tensor != same_name) return false;
  for (const Span& span : plan.spans) {
    const bool overlaps =
        span.target_offset < offset + length && offset < span.target_offset + span.byte_size;
    if (overlaps && (span.frame || span.base_offset != span.target_offset)) return false;
  }
  return base_.IsUnchanged(*plan.base_tensor, offset, length);
}

}  // namespace gguf_shard
