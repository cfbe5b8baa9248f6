#include "core/error.h"

#include <fmt/format.h>

namespace gguf_shard {

std::string_view ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAlreadyExists:
      return "already_exists";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kTruncated:
      return "truncated";
    case ErrorCode::kMalformed:
      return "malformed";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kTooLarge:
      return "too_large";
    case ErrorCode::kChecksumMismatch:
      return "checksum_mismatch";
    case ErrorCode::kMismatch:
      return "mismatch";
    case ErrorCode::kNoSpace:
      return "no_space";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kBudgetTooSmall:
      return "budget_too_small";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kDevice:
      return "device";
  }
  return "unknown";
}

Error Error::File(std::string path) && {
  file_ = std::move(path);
  return std::move(*this);
}
Error Error::Tensor(std::string name) && {
  tensor_ = std::move(name);
  return std::move(*this);
}
Error Error::Page(uint64_t page_index) && {
  page_index_ = page_index;
  return std::move(*this);
}
Error Error::Offset(uint64_t byte_offset) && {
  byte_offset_ = byte_offset;
  return std::move(*this);
}
Error Error::Expected(std::string value) && {
  expected_ = std::move(value);
  return std::move(*this);
}
Error Error::Expected(uint64_t value) && {
  expected_ = std::to_string(value);
  return std::move(*this);
}
Error Error::Found(std::string value) && {
  found_ = std::move(value);
  return std::move(*this);
}
Error Error::Found(uint64_t value) && {
  found_ = std::to_string(value);
  return std::move(*this);
}

void Error::SetFileIfEmpty(std::string_view path) {
  if (file_.empty()) file_ = path;
}

std::string Error::ToString() const {
  std::string details;
  const auto add = [&details](std::string_view label, const std::string& value) {
    if (value.empty()) return;
    details += fmt::format("{}{} {}", details.empty() ? "" : ", ", label, value);
  };
  add("file", file_);
  add("tensor", tensor_);
  add("page", page_index_ ? std::to_string(*page_index_) : "");
  add("offset", byte_offset_ ? std::to_string(*byte_offset_) : "");
  add("expected", expected_);
  add("found", found_);
  return details.empty() ? sentence_ : fmt::format("{} ({})", sentence_, details);
}

}  // namespace gguf_shard
