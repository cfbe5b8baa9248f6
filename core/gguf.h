// GGUF v2/v3 header: metadata and tensor table, read from hostile bytes.
//
//   "GGUF" | version u32 | tensor_count u64 | metadata_count u64
//   metadata_count x [ key string | value_type u32 | value ]
//   tensor_count   x [ name string | n_dims u32 | dims u64 x n_dims | type u32 | offset u64 ]
//   zero padding up to general.alignment (default 32), then the data section
//
// string = length u64 + bytes; array = element_type u32 + count u64 + elements.
//
// Invariants of a parsed header: every length was checked against the file before use; keys and
// tensor names are unique, not empty, valid UTF-8 without control characters (values may hold any
// bytes); every tensor lies inside the file, aligned, without overlap; dimension products and sizes
// do not overflow; data_offset is a multiple of alignment, or the end of a file that ends before
// (only a file without tensor bytes may). String views and array spans point into the header bytes,
// which the GgufHeader owns (moving it keeps them valid; it cannot be copied).
//
// 0-dimensional tensors have one element; a tensor with a dimension of 0 is empty and has no bytes.
// Source: ggml/docs/gguf.md. Thread-safety: immutable after parsing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/gguf_bytes.h"
#include "core/tensor_type.h"

namespace gguf_shard {

// Limits that no honest file reaches; above them a file is refused with kTooLarge.
inline constexpr uint64_t kMaxGgufHeaderBytes = uint64_t{256} << 20;
inline constexpr uint64_t kMaxGgufAlignment = uint64_t{1} << 20;
inline constexpr uint32_t kMaxGgufDims = 4;
inline constexpr uint32_t kMaxGgufNameBytes = 64;  // of a tensor
inline constexpr uint32_t kMaxGgufKeyBytes = 65535;
inline constexpr uint64_t kMaxGgufTensors = 1 << 16;
inline constexpr uint64_t kMaxGgufMetadata = 1 << 16;  // keys
inline constexpr uint64_t kDefaultGgufAlignment = 32;
inline constexpr std::string_view kGgufAlignmentKey = "general.alignment";

enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// Bytes of one scalar; 0 for strings and arrays.
uint32_t GgufScalarBytes(GgufValueType type);
std::string_view GgufValueTypeName(GgufValueType type);

// An array value, still encoded: `bytes` holds exactly `count` validated elements (never arrays).
struct GgufArray {
  GgufValueType element_type;
  uint64_t count;
  std::span<const std::byte> bytes;

  // Decoded copies; nothing when the element type does not fit (Strings: strings; Ints: integer and
  // bool types; Floats: any numeric type).
  std::optional<std::vector<std::string_view>> Strings() const;
  std::optional<std::vector<int64_t>> Ints() const;
  std::optional<std::vector<float>> Floats() const;
};

// One metadata value. The As* conversions return nothing when the stored type does not convert
// without loss (any integer type converts to AsUint / AsInt when in range).
class GgufValue {
 public:
  GgufValue(GgufValueType type, std::span<const std::byte> bytes) : type_(type), bytes_(bytes) {}
  GgufValue(GgufArray array) : type_(GgufValueType::kArray), bytes_(array.bytes), array_(array) {}

  GgufValueType type() const { return type_; }
  // As encoded: a scalar's bytes, a string's characters, an array's elements.
  std::span<const std::byte> bytes() const { return bytes_; }
  std::optional<uint64_t> AsUint() const;
  std::optional<int64_t> AsInt() const;
  std::optional<double> AsFloat() const;  // float types and integers
  std::optional<bool> AsBool() const;
  std::optional<std::string_view> AsString() const;
  std::optional<GgufArray> AsArray() const { return array_; }

 private:
  GgufValueType type_;
  std::span<const std::byte> bytes_;  // scalar bytes, string characters, or array elements
  std::optional<GgufArray> array_;
};

struct GgufTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;  // ne[0] (contiguous) first; empty for a 0-dimensional tensor
  uint64_t data_offset;         // relative to the header's data_offset
  uint64_t byte_size;           // 0 when any dimension is 0
  uint64_t element_count;
};

class GgufHeader {
 public:
  GgufHeader() = default;
  GgufHeader(GgufHeader&&) noexcept = default;
  GgufHeader& operator=(GgufHeader&&) noexcept = default;

  uint32_t version = 0;
  uint64_t alignment = kDefaultGgufAlignment;
  uint64_t data_offset = 0;         // where the data section starts, from the start of the file
  uint64_t file_bytes = 0;          // size of the whole file
  std::vector<GgufTensor> tensors;  // in file order of the table
  std::vector<std::pair<std::string_view, GgufValue>> metadata;  // in file order

  const GgufValue* Find(std::string_view key) const;
  const GgufTensor* FindTensor(std::string_view name) const;

  // Typed look-ups: kNotFound when absent, kMalformed when of another type.
  Result<uint64_t> GetUint(std::string_view key) const;
  Result<double> GetFloat(std::string_view key) const;
  Result<std::string_view> GetString(std::string_view key) const;
  Result<GgufArray> GetArray(std::string_view key) const;

  // The file's bytes up to data_offset (padding included).
  std::span<const std::byte> bytes() const { return bytes_.span(); }

 private:
  friend class GgufHeaderParser;
  GgufBytes bytes_;
  std::unordered_map<std::string_view, size_t> metadata_index_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

// Reads the header of an open GGUF; memory stays under the header's own size plus 64 MB, whatever
// the file claims.
Result<GgufHeader> ReadGgufHeader(const File& file);

// Parses a header held in memory: `bytes` starts a GGUF file of `file_bytes` bytes and must reach
// at least to its data section (kTruncated otherwise). Used for the header kept in a core, and by
// fuzzers.
Result<GgufHeader> ParseGgufHeader(std::span<const std::byte> bytes, uint64_t file_bytes);

// Bytes of a tensor of this type and shape; kMalformed on overflow or when ne[0] is not a whole
// number of blocks.
Result<uint64_t> TensorBytes(TensorType type, std::span<const uint64_t> shape);

}  // namespace gguf_shard
