#include "core/gguf_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/gguf.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kFirstStepBytes = uint64_t{64} << 10;
constexpr uint64_t kLargestStepBytes = uint64_t{4} << 20;

std::string Counted(uint64_t bytes) { return fmt::format("{} bytes", bytes); }

}  // namespace

Result<void> GgufFileSource::Reach(uint64_t end_offset) {
  const uint64_t have = bytes_.size();
  if (end_offset <= have) return {};
  const uint64_t step = std::clamp(have, kFirstStepBytes, kLargestStepBytes);
  const uint64_t size = std::min(std::max(end_offset, have + step), file_.size_bytes());
  GS_TRY(bytes_.Resize(size));
  return file_.ReadAt(have, {bytes_.data() + have, size - have});
}

Result<GgufBytes> GgufFileSource::Take(uint64_t size_bytes) {
  GS_TRY(Reach(size_bytes));
  GS_TRY(bytes_.Resize(size_bytes));
  return std::move(bytes_);
}

Result<void> GgufMemorySource::Reach(uint64_t end_offset) {
  if (end_offset <= bytes_.size()) return {};
  return Fail(Error(ErrorCode::kTruncated, "the kept GGUF header ends before its data section")
                  .Expected(Counted(end_offset))
                  .Found(Counted(bytes_.size())));
}

Result<GgufBytes> GgufMemorySource::Take(uint64_t size_bytes) {
  GS_TRY(Reach(size_bytes));
  GgufBytes copy;
  GS_TRY(copy.Resize(size_bytes));
  if (size_bytes != 0) std::memcpy(copy.data(), bytes_.data(), size_bytes);
  return copy;
}

Result<void> GgufCursor::Require(uint64_t count, std::string_view what) {
  GS_TRY(RequireElements(count, 1, what));
  return source_.Reach(offset_ + count);
}

Result<void> GgufCursor::RequireElements(uint64_t count, uint64_t element_bytes,
                                         std::string_view what) const {
  const uint64_t remaining = file_bytes_ - offset_;
  if (count > remaining / element_bytes) {
    const auto wanted = CheckedMul(count, element_bytes);
    return Fail(Error(ErrorCode::kTruncated, fmt::format("the file ends inside {}{}{}", what,
                                                         subject_.empty() ? "" : " of ", subject_))
                    .Offset(offset_)
                    .Expected(wanted ? Counted(*wanted)
                                     : fmt::format("{} x {} bytes", count, element_bytes))
                    .Found(Counted(remaining)));
  }
  if (offset_ + count * element_bytes > kMaxGgufHeaderBytes) {
    return Fail(Error(ErrorCode::kTooLarge,
                      fmt::format("the GGUF header is larger than the limit at {}{}{}", what,
                                  subject_.empty() ? "" : " of ", subject_))
                    .Offset(offset_)
                    .Expected("at most " + Counted(kMaxGgufHeaderBytes))
                    .Found(Counted(offset_ + count * element_bytes)));
  }
  return {};
}

Result<GgufExtent> GgufCursor::ReadBytes(uint64_t count, std::string_view what) {
  GS_TRY(Require(count, what));
  const GgufExtent extent{offset_, count};
  offset_ += count;
  return extent;
}

Result<GgufExtent> GgufCursor::ReadString(std::string_view what) {
  GS_ASSIGN(const uint64_t size_bytes, Read<uint64_t>(what));
  return ReadBytes(size_bytes, what);
}

}  // namespace gguf_shard
