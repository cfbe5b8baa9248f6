#include "delta/tensor_diff.h"

#include <algorithm>
#include <cstring>

#include "core/cancel.h"
#include "core/check.h"
#include "delta/float_codec.h"
#include "delta/quant_codec.h"

namespace gguf_shard {
namespace {

// Moved rows shorter than this together are not worth a span.
constexpr uint64_t kMinMovedBytes = 4096;
constexpr uint64_t kReadBytes = uint64_t{1} << 20;

bool Equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

uint64_t ElementCount(const ViewTensor& tensor) {
  const TensorTypeInfo& info = GetTensorType(tensor.type);
  return tensor.byte_size / info.block_bytes * info.block_weights;
}

// Chunks are whole blocks of both types, and whole groups of the codecs.
uint64_t ChunkBytes(const FrameTypes& types) {
  const TensorTypeInfo& info = GetTensorType(types.target_type);
  const uint64_t unit_weights = std::max<uint64_t>(info.block_weights, 256);
  const uint64_t unit_bytes = unit_weights / info.block_weights * info.block_bytes;
  return std::max<uint64_t>(TensorDiffer::kChunkBytes / unit_bytes, 1) * unit_bytes;
}

}  // namespace

TensorDiffer::Job TensorDiffer::MakeJob(uint32_t target_tensor,
                                        std::optional<uint32_t> base_tensor) const {
  const ViewTensor& target = target_.tensors()[target_tensor];
  Job job{};
  job.target_tensor = target_tensor;
  job.types.target_type = target.type;
  job.target_bytes = target.byte_size;
  if (base_tensor) {
    const ViewTensor& base = base_.tensors()[*base_tensor];
    const bool retyped = base.type != target.type;
    if (!retyped ||
        (ElementCount(base) == ElementCount(target) &&
         (CanQuantCode(target.type, base.type) || CanFloatCode(target.type, base.type)))) {
      job.base_tensor = base_tensor;
      job.types.base_type = base.type;
      job.base_bytes = base.byte_size;
    }
  }
  const uint64_t columns = target.shape.empty() ? 1 : target.shape[0];
  const TensorTypeInfo& info = GetTensorType(target.type);
  job.row_bytes = columns / info.block_weights * info.block_bytes;
  job.search_rows = (search_all_ || job.base_bytes != job.target_bytes) &&
                    job.types.base_type == job.types.target_type && job.row_bytes != 0 &&
                    job.base_bytes % job.row_bytes == 0 &&
                    RowIndex::IsWorthwhile(job.row_bytes, job.base_bytes / job.row_bytes);
  return job;
}

void TensorDiffer::AddCopy(Job& job, uint64_t base_offset, uint64_t byte_size) {
  if (!job.spans.empty()) {
    PatchSpan& last = job.spans.back();
    if (!last.frame && last.base_offset + last.byte_size == base_offset) {
      last.byte_size += byte_size;
      return;
    }
  }
  job.spans.push_back({byte_size, base_offset, std::nullopt});
}

// Adds bytes to a frame; without a base where the base tensor has none at this place.
Result<void> TensorDiffer::Code(Job& job, uint64_t offset, std::span<const std::byte> target,
                                std::span<const std::byte> base) {
  FrameTypes types = job.types;
  uint64_t base_offset = 0;
  if (types.base_type && FrameBaseBytes(types, target.size()) == base.size()) {
    base_offset = *FrameBaseBytes(types, offset);
  } else {
    types.base_type.reset();
    base = {};
  }
  GS_ASSIGN(const uint32_t frame, frames_.Add(types, target, base));
  if (!job.spans.empty()) {
    PatchSpan& last = job.spans.back();
    const bool continues =
        !types.base_type ||
        last.base_offset + FrameBaseBytes(types, last.byte_size).value_or(0) == base_offset;
    if (last.frame == frame && continues) {
      last.byte_size += target.size();
      return {};
    }
  }
  job.spans.push_back({target.size(), base_offset, frame});
  return {};
}

// The length of the run of whole rows from the start of `target` on that lies somewhere in the
// base.
Result<uint64_t> TensorDiffer::MovedRun(Job& job, uint64_t offset,
                                        std::span<const std::byte> target, uint64_t& base_offset) {
  const auto found = job.rows->Find(target.first(job.row_bytes), offset / job.row_bytes);
  if (!found) return 0;
  base_offset = *found * job.row_bytes;
  const uint64_t length = std::min<uint64_t>(target.size(), job.base_bytes - base_offset);
  std::vector<std::byte> base(length / job.row_bytes * job.row_bytes);
  GS_TRY(base_.ReadTensor(*job.base_tensor, base_offset, base));
  uint64_t equal = 0;
  while (equal < base.size() && Equal(std::span(base).subspan(equal, job.row_bytes),
                                      target.subspan(equal, job.row_bytes))) {
    equal += job.row_bytes;
  }
  return equal;
}

// Copies the rows of a differing chunk that lie elsewhere in the base, codes the others.
Result<void> TensorDiffer::SearchRows(Job& job, uint64_t offset, std::span<const std::byte> target,
                                      std::span<const std::byte> base) {
  if (!job.rows) {
    GS_ASSIGN(job.rows, RowIndex::Build(base_, *job.base_tensor, job.row_bytes));
  }
  uint64_t coded_from = 0;
  const auto CodeUntil = [&](uint64_t end) -> Result<void> {
    if (end == coded_from) return {};
    const uint64_t base_end = std::min<uint64_t>(end, base.size());
    const auto part = coded_from < base_end ? base.subspan(coded_from, base_end - coded_from)
                                            : std::span<const std::byte>();
    return Code(job, offset + coded_from, target.subspan(coded_from, end - coded_from), part);
  };
  // Rows start at multiples of row_bytes from the tensor's start, not from the chunk's.
  uint64_t place = (job.row_bytes - offset % job.row_bytes) % job.row_bytes;
  while (place + job.row_bytes <= target.size()) {
    uint64_t base_offset = 0;
    GS_ASSIGN(const uint64_t run,
              MovedRun(job, offset + place, target.subspan(place), base_offset));
    if (run < kMinMovedBytes) {
      place += std::max(run, job.row_bytes);
      continue;
    }
    GS_TRY(CodeUntil(place));
    AddCopy(job, base_offset, run);
    place += run;
    coded_from = place;
  }
  return CodeUntil(target.size());
}

Result<void> TensorDiffer::DiffChunk(Job& job, uint64_t offset, std::span<const std::byte> target,
                                     std::span<const std::byte> base) {
  const bool same_type = job.types.base_type == job.types.target_type;
  if (same_type && Equal(target, base)) {
    AddCopy(job, offset, target.size());
    return {};
  }
  return job.search_rows ? SearchRows(job, offset, target, base) : Code(job, offset, target, base);
}

Result<TensorDiffer::Outcome> TensorDiffer::Diff(uint32_t target_tensor,
                                                 std::optional<uint32_t> base_tensor) {
  Job job = MakeJob(target_tensor, base_tensor);
  Xxh128Hasher target_hasher;
  Xxh128Hasher base_hasher;
  const uint64_t chunk_bytes = ChunkBytes(job.types);
  const uint64_t read_bytes = std::max<uint64_t>(kReadBytes / chunk_bytes, 1) * chunk_bytes;
  uint64_t base_read = 0;
  for (uint64_t offset = 0; offset < job.target_bytes; offset += read_bytes) {
    GS_TRY(CheckCancelled());
    GS_ASSIGN(const auto target,
              hasher_.NextBuffer(std::min(read_bytes, job.target_bytes - offset)));
    GS_TRY(target_.ReadTensor(target_tensor, offset, target));
    hasher_.Offer(target_tensor, offset, target);
    target_hasher.Update(target);
    const uint64_t base_first =
        job.base_tensor ? std::min(FrameBaseBytes(job.types, offset).value_or(0), job.base_bytes)
                        : 0;
    const uint64_t base_size = job.base_tensor
                                   ? std::min(FrameBaseBytes(job.types, target.size()).value_or(0),
                                              job.base_bytes - base_first)
                                   : 0;
    if (base_buffer_.size() < base_size) base_buffer_.resize(base_size);
    const auto base = std::span(base_buffer_).first(base_size);
    if (base_size != 0) GS_TRY(base_.ReadTensor(*job.base_tensor, base_first, base));
    base_hasher.Update(base);
    base_read += base_size;
    for (uint64_t i = 0; i < target.size(); i += chunk_bytes) {
      const auto chunk = target.subspan(i, std::min(chunk_bytes, target.size() - i));
      const uint64_t base_at = std::min(FrameBaseBytes(job.types, i).value_or(0), base_size);
      const uint64_t base_count =
          std::min(FrameBaseBytes(job.types, chunk.size()).value_or(0), base_size - base_at);
      GS_TRY(DiffChunk(job, offset + i, chunk, base.subspan(base_at, base_count)));
    }
    progress_.Advance(target.size());
  }
  Outcome outcome{std::move(job.spans), target_hasher.Finish(), std::nullopt};
  if (job.base_tensor && base_read == job.base_bytes) outcome.base_digest = base_hasher.Finish();
  return outcome;
}

}  // namespace gguf_shard
