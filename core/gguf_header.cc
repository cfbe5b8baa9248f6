// Look-ups in a parsed header.
#include <fmt/format.h>

#include "core/gguf.h"

namespace gguf_shard {
namespace {

// The converted value of a key, or why there is none.
template <typename T>
Result<T> Get(const GgufHeader& header, std::string_view key,
              std::optional<T> (GgufValue::*convert)() const, std::string_view wanted) {
  const GgufValue* value = header.Find(key);
  if (value == nullptr) {
    return Fail(ErrorCode::kNotFound, fmt::format("the GGUF has no metadata key {}", key));
  }
  if (auto converted = (value->*convert)()) return *std::move(converted);
  return Fail(Error(ErrorCode::kMalformed, fmt::format("metadata key {} has the wrong type", key))
                  .Expected(std::string(wanted))
                  .Found(std::string(GgufValueTypeName(value->type()))));
}

}  // namespace

const GgufValue* GgufHeader::Find(std::string_view key) const {
  const auto found = metadata_index_.find(key);
  return found == metadata_index_.end() ? nullptr : &metadata[found->second].second;
}

const GgufTensor* GgufHeader::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors[found->second];
}

Result<uint64_t> GgufHeader::GetUint(std::string_view key) const {
  return Get(*this, key, &GgufValue::AsUint, "an integer of at least 0");
}

Result<double> GgufHeader::GetFloat(std::string_view key) const {
  return Get(*this, key, &GgufValue::AsFloat, "a number");
}

Result<std::string_view> GgufHeader::GetString(std::string_view key) const {
  return Get(*this, key, &GgufValue::AsString, "string");
}

Result<GgufArray> GgufHeader::GetArray(std::string_view key) const {
  return Get(*this, key, &GgufValue::AsArray, "array");
}

}  // namespace gguf_shard
