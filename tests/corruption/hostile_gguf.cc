#include "tests/corruption/hostile_gguf.h"

#include "tests/corruption/gguf_image.h"

namespace gguf_shard {
namespace {

using enum ErrorCode;
using enum GgufValueType;

constexpr uint64_t kHuge = uint64_t{1} << 60;
constexpr uint64_t kAllOnes = ~uint64_t{0};

using Cases = std::vector<HostileGguf>;

void Add(Cases& cases, std::string name, const GgufImage& image, ErrorCode code,
         std::string fragment) {
  cases.push_back({std::move(name), image.bytes(), code, std::move(fragment)});
}

// One metadata entry alone; what Add* appends decides the rest.
GgufImage OneKey(std::string_view key, GgufValueType type) {
  return GgufImage(0, 1).Key(key, type);
}

// One tensor of 64 bytes of data behind the header.
GgufImage OneTensor(std::initializer_list<uint64_t> shape, TensorType type, uint64_t data_offset) {
  return GgufImage(1, 0).Tensor("blk.0.w", shape, type, data_offset).Data(64);
}

void AddPreambles(Cases& cases) {
  Add(cases, "empty_file", GgufImage(), kTruncated, "inside the magic number");
  Add(cases, "magic_wrong", GgufImage().Text("GGML").U32(3).U64(0).U64(0), kMalformed,
      "not a GGUF file (offset 0, expected 47475546 (GGUF), found 47474d4c)");
  Add(cases, "magic_alone", GgufImage().Text("GGUF"), kTruncated, "inside the version");
  Add(cases, "version_0", GgufImage(0, 0, 0), kUnsupported, "unknown GGUF version");
  Add(cases, "version_1", GgufImage().Text("GGUF").U32(1).U32(0).U32(0), kUnsupported,
      "GGUF version 1 is not supported");
  Add(cases, "version_4", GgufImage(0, 0, 4), kUnsupported, "unknown GGUF version");
  Add(cases, "big_endian", GgufImage(0, 0, 0x03000000), kUnsupported,
      "big-endian GGUF (version 3)");
}

void AddCounts(Cases& cases) {
  Add(cases, "metadata_count_beyond_file", GgufImage(0, 2).Key("a", kUint8).U8(1), kTruncated,
      "the entries that the metadata count of 2 promises");
  Add(cases, "metadata_count_huge", GgufImage(0, kHuge).Key("a", kUint8).U8(1), kTruncated,
      "metadata count of 1152921504606846976");
  Add(cases, "metadata_count_wraps", GgufImage(0, kAllOnes), kTruncated,
      "metadata count of 18446744073709551615");
  Add(cases, "tensor_count_beyond_file",
      GgufImage(2, 0).Tensor("a", {}, TensorType::kI8, 0).Data(1), kTruncated,
      "the entries that the tensor count of 2 promises");
  Add(cases, "tensor_count_huge", GgufImage(kHuge, 0).Data(64), kTruncated,
      "tensor count of 1152921504606846976");
  Add(cases, "tensor_count_wraps", GgufImage(kAllOnes, 0).Data(64), kTruncated,
      "tensor count of 18446744073709551615");
}

void AddKeys(Cases& cases) {
  Add(cases, "key_length_beyond_file", GgufImage(0, 1).U64(100).Text("general.name"), kTruncated,
      "inside the key of metadata entry 0");
  Add(cases, "key_length_wraps", GgufImage(0, 1).U64(kAllOnes).Text("general.name"), kTruncated,
      "expected 18446744073709551615 bytes, found 12 bytes");
  Add(cases, "key_too_long",
      GgufImage(0, 1).Key(std::string(kMaxGgufKeyBytes + 1, 'k'), kUint8).U8(1), kTooLarge,
      "the key of metadata entry 0 is too long");
  Add(cases, "key_empty", OneKey("", kUint32).U32(1), kMalformed,
      "the key of metadata entry 0 is empty");
  Add(cases, "key_not_utf8", OneKey("general.\xC3(", kUint32).U32(1), kMalformed,
      "is not UTF-8 without control characters");
  Add(cases, "key_with_escape", OneKey("\x1b[2Jgeneral", kUint32).U32(1), kMalformed,
      "is not UTF-8 without control characters");
  Add(cases, "key_twice", GgufImage(0, 2).Key("a.b", kUint8).U8(1).Key("a.b", kUint8).U8(2),
      kMalformed, "the key a.b is there twice (offset 48)");
}

void AddValues(Cases& cases) {
  Add(cases, "value_type_unknown", OneKey("general.name", static_cast<GgufValueType>(13)).U64(0),
      kMalformed, "the value type of key general.name is unknown");
  Add(cases, "value_missing", OneKey("general.quantization_version", kUint64).U32(2), kTruncated,
      "inside the value of key general.quantization_version");
  Add(cases, "string_length_beyond_file", OneKey("general.name", kString).U64(5).Text("name"),
      kTruncated, "inside the text of key general.name");
  Add(cases, "string_length_wraps", OneKey("general.name", kString).U64(kAllOnes - 50).Text("name"),
      kTruncated, "expected 18446744073709551565 bytes, found 4 bytes");
  Add(cases, "bool_is_2", OneKey("tokenizer.ggml.add_bos_token", kBool).U8(2), kMalformed,
      "a bool of key tokenizer.ggml.add_bos_token is neither 0 nor 1");
}

void AddArrays(Cases& cases) {
  Add(cases, "array_length_beyond_file",
      GgufImage(0, 1).ArrayKey("scores", kFloat32, 3).U32(0).U32(0), kTruncated,
      "inside the array of key scores (offset 54, expected 12 bytes, found 8 bytes)");
  Add(cases, "array_length_huge", GgufImage(0, 1).ArrayKey("scores", kFloat32, kHuge).U32(0),
      kTruncated, "inside the array of key scores");
  // 2^61 + 1 elements of 8 bytes are 8 bytes, modulo 2^64.
  Add(cases, "array_size_wraps",
      GgufImage(0, 1).ArrayKey("a", kUint64, (uint64_t{1} << 61) + 1).U64(0), kTruncated,
      "expected 2305843009213693953 x 8 bytes, found 8 bytes");
  Add(cases, "array_of_strings_too_long",
      GgufImage(0, 1).ArrayKey("tokens", kString, kHuge).String("a").String("b"), kTruncated,
      "inside the array of strings of key tokens");
  Add(cases, "array_string_beyond_file",
      GgufImage(0, 1).ArrayKey("tokens", kString, 2).String("a").U64(9).Text("12345678"),
      kTruncated, "inside a string in the array of key tokens");
  Add(cases, "array_string_length_wraps",
      GgufImage(0, 1).ArrayKey("tokens", kString, 1).U64(kAllOnes - 7).Text("12345678"), kTruncated,
      "inside a string in the array of key tokens");
  Add(cases, "array_nested", GgufImage(0, 1).ArrayKey("a", kArray, 1).Type(kUint8).U64(1).U8(0),
      kUnsupported, "key a is an array of arrays");
  Add(cases, "array_type_unknown",
      GgufImage(0, 1).ArrayKey("a", static_cast<GgufValueType>(77), 1).U64(0), kMalformed,
      "the array's element type of key a is unknown");
  Add(cases, "array_bool_is_255", GgufImage(0, 1).ArrayKey("a", kBool, 3).U8(1).U8(0).U8(255),
      kMalformed, "a bool of key a is neither 0 nor 1");
}

void AddAlignments(Cases& cases) {
  const std::string key(kGgufAlignmentKey);
  const std::string sentence = "general.alignment cannot be used";
  Add(cases, "alignment_0", OneKey(key, kUint32).U32(0), kMalformed, sentence);
  Add(cases, "alignment_24", OneKey(key, kUint32).U32(24), kMalformed, "expected a power of two");
  Add(cases, "alignment_2_to_30", OneKey(key, kUint32).U32(1u << 30), kTooLarge,
      "found 1073741824");
  Add(cases, "alignment_2_to_63", OneKey(key, kUint64).U64(uint64_t{1} << 63), kTooLarge, sentence);
  Add(cases, "alignment_negative", OneKey(key, kInt32).U32(0xFFFFFFE0), kMalformed,
      "expected an integer of at least 1, found int32");
  Add(cases, "alignment_is_text", OneKey(key, kString).String("32"), kMalformed, "found string");
  Add(cases, "alignment_is_array", GgufImage(0, 1).ArrayKey(key, kUint32, 1).U32(32), kMalformed,
      "found array");
}

void AddTensorNames(Cases& cases) {
  constexpr auto kI8 = TensorType::kI8;
  Add(cases, "tensor_name_empty", GgufImage(1, 0).Tensor("", {8}, kI8, 0).Data(8), kMalformed,
      "the name of tensor 0 is empty");
  Add(cases, "tensor_name_too_long",
      GgufImage(1, 0).Tensor(std::string(65, 'n'), {8}, kI8, 0).Data(8), kTooLarge,
      "the name of tensor 0 is too long");
  Add(cases, "tensor_name_not_utf8", GgufImage(1, 0).Tensor("w\xFF", {8}, kI8, 0).Data(8),
      kMalformed, "the name of tensor 0 is not UTF-8");
  Add(cases, "tensor_name_with_newline", GgufImage(1, 0).Tensor("w\nx", {8}, kI8, 0).Data(8),
      kMalformed, "control characters");
  Add(cases, "tensor_name_beyond_file", GgufImage(1, 0).U64(4000).Text("w").Data(64), kTruncated,
      "inside the name of tensor 0");
  Add(cases, "tensor_twice",
      GgufImage(2, 0).Tensor("w", {8}, kI8, 0).Tensor("w", {8}, kI8, 32).Data(64), kMalformed,
      "two tensors have the same name (tensor w)");
}

void AddShapes(Cases& cases) {
  constexpr uint64_t kHalf = uint64_t{1} << 32;
  using enum TensorType;
  Add(cases, "dimensions_5", OneTensor({2, 2, 2, 2, 2}, kI8, 0), kMalformed,
      "a tensor has too many dimensions (tensor blk.0.w");
  Add(cases, "dimensions_2_to_32",
      GgufImage(1, 0).String("w").U32(0xFFFFFFFF).U64(1).U32(24).U64(0).Data(64), kMalformed,
      "found 4294967295");
  Add(cases, "dimension_product_overflows", OneTensor({kHalf, kHalf}, kI8, 0), kMalformed,
      "the product of a tensor's dimensions overflows");
  Add(cases, "dimension_product_wraps_to_small", OneTensor({kHalf + 1, kHalf - 1, 2}, kI8, 0),
      kMalformed, "the product of a tensor's dimensions overflows");
  Add(cases, "dimension_negative", OneTensor({uint64_t{1} << 63}, kI8, 0), kMalformed,
      "found [9223372036854775808]");
  Add(cases, "dimension_0_hides_overflow", OneTensor({0, kHalf, kHalf}, kI8, 0), kMalformed,
      "found [0, 4294967296, 4294967296]");
  Add(cases, "size_overflows", OneTensor({uint64_t{1} << 61}, kF64, 0), kMalformed,
      "the size of a tensor overflows");
  Add(cases, "row_is_no_whole_block", OneTensor({48, 1}, kQ4_0, 0), kMalformed,
      "a row is not a whole number of Q4_0 blocks");
  Add(cases, "scalar_is_no_whole_block", OneTensor({}, kQ4_K, 0), kMalformed,
      "a row is not a whole number of Q4_K blocks");
}

void AddTypes(Cases& cases) {
  const auto image = [](uint32_t type_id) {
    return GgufImage(1, 0).Tensor("w", {32}, type_id, 0).Data(128);
  };
  Add(cases, "type_unknown", image(99), kUnsupported, "unknown tensor type (tensor w");
  Add(cases, "type_all_ones", image(0xFFFFFFFF), kUnsupported, "unknown tensor type");
  Add(cases, "type_removed_Q4_2", image(4), kUnsupported, "type Q4_2 was removed from GGUF");
  Add(cases, "type_removed_Q4_0_8_8", image(33), kUnsupported, "type Q4_0_8_8 was removed");
}

void AddPlaces(Cases& cases) {
  using enum TensorType;
  Add(cases, "offset_not_aligned", OneTensor({8}, kI8, 8), kMalformed,
      "a tensor's offset is not aligned");
  Add(cases, "offset_beyond_file", OneTensor({8}, kI8, 4096), kTruncated,
      "the file ends before the end of a tensor's data");
  Add(cases, "offset_huge", OneTensor({8}, kI8, uint64_t{1} << 62), kTruncated,
      "the file ends before the end of a tensor's data");
  Add(cases, "offset_plus_size_wraps", OneTensor({64}, kI8, kAllOnes - 31), kTruncated,
      "offset 18446744073709551584");
  Add(cases, "size_beyond_file", OneTensor({65}, kI8, 0), kTruncated,
      "expected 65 bytes, found a data section of 64 bytes");
  Add(cases, "padded_size_wraps", OneTensor({(uint64_t{1} << 63) - 1}, kI8, 0), kTruncated,
      "expected 9223372036854775807 bytes");
  Add(cases, "sum_of_sizes_wraps",
      GgufImage(2, 0)
          .Tensor("a", {(uint64_t{1} << 63) - 32}, kI8, 0)
          .Tensor("b", {(uint64_t{1} << 63) - 32}, kI8, (uint64_t{1} << 63) - 32)
          .Data(64),
      kTruncated, "(tensor a");
  Add(cases, "tensors_overlap",
      GgufImage(2, 0).Tensor("a", {33}, kI8, 0).Tensor("b", {8}, kI8, 32).Data(64), kMalformed,
      "a tensor overlaps the tensor a (tensor b");
  Add(cases, "tensors_in_one_place",
      GgufImage(2, 0).Tensor("a", {8}, kI8, 32).Tensor("b", {8}, kI8, 32).Data(64), kMalformed,
      "a tensor overlaps the tensor");
  Add(cases, "empty_tensor_beyond_file", OneTensor({0}, kI8, 128), kTruncated,
      "the file ends before the end of a tensor's data");
  Add(cases, "padding_missing", GgufImage(1, 0).Tensor("w", {8}, kI8, 0), kTruncated,
      "inside the padding of the header");
}

void AddSplits(Cases& cases) {
  const auto count = [](GgufValueType type) { return OneKey("split.count", type); };
  Add(cases, "split_count_is_text", count(kString).String("3"), kMalformed,
      "metadata key split.count has the wrong type");
  Add(cases, "split_count_negative", count(kInt32).U32(0xFFFFFFFF), kMalformed,
      "expected an integer of at least 0");
  Add(cases, "split_count_huge", count(kUint64).U64(kHuge), kTooLarge,
      "the model is split into too many files");
  Add(cases, "split_without_part_name", count(kUint32).U32(3), kMismatch,
      "a name that ends in -NNNNN-of-00003.gguf");
}

}  // namespace

std::vector<HostileGguf> HostileGgufs() {
  Cases cases;
  AddPreambles(cases);
  AddCounts(cases);
  AddKeys(cases);
  AddValues(cases);
  AddArrays(cases);
  AddAlignments(cases);
  AddTensorNames(cases);
  AddShapes(cases);
  AddTypes(cases);
  AddPlaces(cases);
  AddSplits(cases);
  return cases;
}

}  // namespace gguf_shard
