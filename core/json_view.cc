#include "core/json_view.h"

#include <fmt/format.h>

#include "core/digest.h"

namespace gguf_shard {
namespace {

// nlohmann's parser is iterative, but its destructor and dump are not worth trusting with a million
// nested arrays: refuse deep documents before building them.
constexpr int kMaxJsonDepth = 16;

Result<uint64_t> ToUint(const nlohmann::json& value, const std::string& path, uint64_t maximum) {
  if (!value.is_number_unsigned()) {
    return Fail(Error(ErrorCode::kMalformed, fmt::format("{} is not an unsigned integer", path)));
  }
  const auto number = value.get<uint64_t>();
  if (number > maximum) {
    return Fail(Error(ErrorCode::kMalformed, fmt::format("{} is out of range", path))
                    .Expected(fmt::format("at most {}", maximum))
                    .Found(number));
  }
  return number;
}

Result<std::string> ToString(const nlohmann::json& value, const std::string& path,
                             size_t max_bytes) {
  if (!value.is_string()) {
    return Fail(Error(ErrorCode::kMalformed, fmt::format("{} is not a string", path)));
  }
  auto text = value.get<std::string>();
  if (text.size() > max_bytes) {
    return Fail(Error(ErrorCode::kMalformed, fmt::format("{} is too long", path))
                    .Expected(fmt::format("at most {} bytes", max_bytes))
                    .Found(text.size()));
  }
  return text;
}

}  // namespace

std::string JsonView::Join(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

Error JsonView::Malformed(std::string_view key, std::string_view what) const {
  return Error(ErrorCode::kMalformed, fmt::format("{} {}", Join(key), what));
}

bool JsonView::Has(std::string_view key) const {
  return value_->is_object() && value_->contains(key);
}

Result<const nlohmann::json*> JsonView::Find(std::string_view key) const {
  if (!value_->is_object()) return Fail(Malformed(key, "is missing: its parent is no object"));
  const auto found = value_->find(key);
  if (found == value_->end()) return Fail(Malformed(key, "is missing"));
  return &*found;
}

Result<JsonView> JsonView::Object(std::string_view key) const {
  GS_ASSIGN(const nlohmann::json* value, Find(key));
  if (!value->is_object()) return Fail(Malformed(key, "is not an object"));
  return JsonView(*value, Join(key));
}

Result<JsonView> JsonView::Array(std::string_view key, uint64_t max_count) const {
  GS_ASSIGN(const nlohmann::json* value, Find(key));
  if (!value->is_array()) return Fail(Malformed(key, "is not an array"));
  if (value->size() > max_count) {
    return Fail(Malformed(key, "has too many elements")
                    .Expected(fmt::format("at most {}", max_count))
                    .Found(value->size()));
  }
  return JsonView(*value, Join(key));
}

Result<uint64_t> JsonView::Uint(std::string_view key, uint64_t maximum) const {
  GS_ASSIGN(const nlohmann::json* value, Find(key));
  return ToUint(*value, Join(key), maximum);
}

Result<std::string> JsonView::String(std::string_view key, size_t max_bytes) const {
  GS_ASSIGN(const nlohmann::json* value, Find(key));
  return ToString(*value, Join(key), max_bytes);
}

Result<void> JsonView::Hex(std::string_view key, std::span<std::byte> out) const {
  GS_ASSIGN(const std::string hex, String(key));
  if (!FromHex(hex, out)) {
    return Fail(Malformed(key, "is not a hexadecimal string of the right length")
                    .Expected(fmt::format("{} digits", out.size() * 2))
                    .Found(hex.substr(0, 80)));
  }
  return {};
}

JsonView JsonView::operator[](size_t index) const {
  return JsonView((*value_)[index], fmt::format("{}[{}]", path_, index));
}

Result<uint64_t> JsonView::AsUint(uint64_t maximum) const {
  return ToUint(*value_, path_, maximum);
}

Result<std::string> JsonView::AsString(size_t max_bytes) const {
  return ToString(*value_, path_, max_bytes);
}

Result<nlohmann::json> ParseJson(std::string_view text) {
  bool too_deep = false;
  const auto watch_depth = [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep |= depth > kMaxJsonDepth;
    return depth <= kMaxJsonDepth;  // drops what lies deeper
  };
  try {
    auto value = nlohmann::json::parse(text, watch_depth);
    if (too_deep) return Fail(ErrorCode::kMalformed, "the JSON is nested too deeply");
    return value;
  } catch (const nlohmann::json::parse_error& error) {
    return Fail(Error(ErrorCode::kMalformed, fmt::format("not valid JSON: {}", error.what()))
                    .Offset(error.byte));
  } catch (const nlohmann::json::exception& error) {
    return Fail(ErrorCode::kMalformed, fmt::format("not valid JSON: {}", error.what()));
  }
}

}  // namespace gguf_shard
