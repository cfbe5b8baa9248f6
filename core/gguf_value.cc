// Metadata values: decoding of validated bytes, and conversions that lose nothing.
#include <limits>
#include <utility>

#include "core/bytes.h"
#include "core/gguf.h"

namespace gguf_shard {
namespace {

// Calls visit(value) with the scalar at `bytes` in its own type; false for strings and arrays.
template <typename Visit>
bool VisitScalar(GgufValueType type, const std::byte* bytes, Visit visit) {
  switch (type) {
    case GgufValueType::kUint8:
      return visit(LoadLe<uint8_t>(bytes));
    case GgufValueType::kInt8:
      return visit(LoadLe<int8_t>(bytes));
    case GgufValueType::kUint16:
      return visit(LoadLe<uint16_t>(bytes));
    case GgufValueType::kInt16:
      return visit(LoadLe<int16_t>(bytes));
    case GgufValueType::kUint32:
      return visit(LoadLe<uint32_t>(bytes));
    case GgufValueType::kInt32:
      return visit(LoadLe<int32_t>(bytes));
    case GgufValueType::kUint64:
      return visit(LoadLe<uint64_t>(bytes));
    case GgufValueType::kInt64:
      return visit(LoadLe<int64_t>(bytes));
    case GgufValueType::kFloat32:
      return visit(LoadLe<float>(bytes));
    case GgufValueType::kFloat64:
      return visit(LoadLe<double>(bytes));
    case GgufValueType::kBool:
      return visit(LoadLe<uint8_t>(bytes) != 0);
    case GgufValueType::kString:
    case GgufValueType::kArray:
      return false;
  }
  return false;
}

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// The integer scalar at `bytes` as Target; nothing when of another type or out of range.
template <typename Target>
std::optional<Target> ToInteger(GgufValueType type, const std::byte* bytes) {
  std::optional<Target> result;
  VisitScalar(type, bytes, [&result](auto value) {
    if constexpr (kIsInteger<decltype(value)>) {
      if (std::in_range<Target>(value)) result = static_cast<Target>(value);
    }
    return true;
  });
  return result;
}

}  // namespace

uint32_t GgufScalarBytes(GgufValueType type) {
  constexpr std::byte kZeros[8] = {};
  uint32_t size_bytes = 0;
  VisitScalar(type, kZeros, [&size_bytes](auto value) {
    size_bytes = sizeof(value);
    return true;
  });
  return size_bytes;
}

std::string_view GgufValueTypeName(GgufValueType type) {
  constexpr std::string_view kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                         "int32",  "float32", "bool",   "string", "array",
                                         "uint64", "int64",   "float64"};
  const auto id = static_cast<size_t>(type);
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

std::optional<std::vector<std::string_view>> GgufArray::Strings() const {
  if (element_type != GgufValueType::kString) return std::nullopt;
  std::vector<std::string_view> strings;
  strings.reserve(count);
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto size_bytes = LoadLe<uint64_t>(bytes.data() + at);
    strings.push_back(AsText(bytes.subspan(at + 8, size_bytes)));
    at += 8 + size_bytes;
  }
  return strings;
}

std::optional<std::vector<int64_t>> GgufArray::Ints() const {
  const uint32_t step = GgufScalarBytes(element_type);
  const bool is_float =
      element_type == GgufValueType::kFloat32 || element_type == GgufValueType::kFloat64;
  if (step == 0 || is_float) return std::nullopt;
  // A bool is a byte that is 0 or 1.
  const auto type = element_type == GgufValueType::kBool ? GgufValueType::kUint8 : element_type;
  std::vector<int64_t> ints;
  ints.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto value = ToInteger<int64_t>(type, bytes.data() + i * step);
    if (!value) return std::nullopt;
    ints.push_back(*value);
  }
  return ints;
}

std::optional<std::vector<float>> GgufArray::Floats() const {
  const uint32_t step = GgufScalarBytes(element_type);
  if (step == 0 || element_type == GgufValueType::kBool) return std::nullopt;
  std::vector<float> floats;
  floats.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    VisitScalar(element_type, bytes.data() + i * step, [&floats](auto value) {
      floats.push_back(static_cast<float>(value));
      return true;
    });
  }
  return floats;
}

std::optional<uint64_t> GgufValue::AsUint() const {
  return ToInteger<uint64_t>(type_, bytes_.data());
}

std::optional<int64_t> GgufValue::AsInt() const { return ToInteger<int64_t>(type_, bytes_.data()); }

std::optional<double> GgufValue::AsFloat() const {
  std::optional<double> result;
  VisitScalar(type_, bytes_.data(), [&result](auto value) {
    using Value = decltype(value);
    if constexpr (kIsInteger<Value>) {
      constexpr int64_t kExact = int64_t{1} << std::numeric_limits<double>::digits;
      if (std::cmp_less_equal(value, kExact) && std::cmp_greater_equal(value, -kExact)) {
        result = static_cast<double>(value);
      }
    } else if constexpr (std::is_floating_point_v<Value>) {
      result = static_cast<double>(value);
    }
    return true;
  });
  return result;
}

std::optional<bool> GgufValue::AsBool() const {
  if (type_ != GgufValueType::kBool) return std::nullopt;
  return LoadLe<uint8_t>(bytes_.data()) != 0;
}

std::optional<std::string_view> GgufValue::AsString() const {
  if (type_ != GgufValueType::kString) return std::nullopt;
  return AsText(bytes_);
}

}  // namespace gguf_shard
