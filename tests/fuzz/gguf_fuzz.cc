// The GGUF reader: whatever it accepts satisfies the invariants of core/gguf.h, and survives being
// written and read again.
#include <algorithm>
#include <span>

#include "core/bytes.h"
#include "core/gguf.h"
#include "core/gguf_writer.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

void CheckTensors(const GgufHeader& header) {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (const GgufTensor& tensor : header.tensors) {
    GS_FUZZ_EXPECT(!tensor.name.empty() && tensor.name.size() <= kMaxGgufNameBytes);
    GS_FUZZ_EXPECT(header.FindTensor(tensor.name) == &tensor);
    GS_FUZZ_EXPECT(tensor.shape.size() <= kMaxGgufDims);
    GS_FUZZ_EXPECT(tensor.data_offset % header.alignment == 0);
    GS_FUZZ_EXPECT(TensorBytes(tensor.type, tensor.shape).value() == tensor.byte_size);
    GS_FUZZ_EXPECT((tensor.byte_size == 0) == (tensor.element_count == 0));
    if (tensor.byte_size == 0) continue;
    GS_FUZZ_EXPECT(tensor.data_offset < header.file_bytes - header.data_offset);
    places.emplace_back(tensor.data_offset, tensor.data_offset + tensor.byte_size);
  }
  std::sort(places.begin(), places.end());
  for (size_t i = 0; i < places.size(); ++i) {
    GS_FUZZ_EXPECT(places[i].second <= header.file_bytes - header.data_offset);
    GS_FUZZ_EXPECT(i == 0 || places[i - 1].second <= places[i].first);
  }
}

void CheckMetadata(const GgufHeader& header) {
  for (const auto& [key, value] : header.metadata) {
    GS_FUZZ_EXPECT(!key.empty() && header.Find(key) == &value);
    const auto array = value.AsArray();
    if (!array) {
      const bool is_one_kind =
          value.AsString() || value.AsBool() || value.AsUint() || value.AsInt() || value.AsFloat();
      GS_FUZZ_EXPECT(is_one_kind);
      continue;
    }
    const auto strings = array->Strings();
    const auto ints = array->Ints();
    const auto floats = array->Floats();
    GS_FUZZ_EXPECT(!strings || strings->size() == array->count);
    GS_FUZZ_EXPECT(!ints || ints->size() == array->count);
    GS_FUZZ_EXPECT(!floats || floats->size() == array->count);
  }
}

std::vector<std::byte> Rewrite(const GgufHeader& header) {
  GgufWriter writer(header.alignment);
  for (const auto& [key, value] : header.metadata) {
    if (key != kGgufAlignmentKey) writer.AddValue(key, value);
  }
  for (const GgufTensor& tensor : header.tensors) {
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, tensor.data_offset);
  }
  return writer.Serialize();
}

void CheckRewriting(const GgufHeader& header) {
  const auto bytes = Rewrite(header);
  const uint64_t data_bytes = AlignUp(header.file_bytes - header.data_offset, header.alignment);
  const auto again = ParseGgufHeader(bytes, bytes.size() + data_bytes);
  GS_FUZZ_EXPECT(again.has_value());
  GS_FUZZ_EXPECT(again->tensors.size() == header.tensors.size());
  GS_FUZZ_EXPECT(again->alignment == header.alignment);
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    GS_FUZZ_EXPECT(again->tensors[i].name == header.tensors[i].name);
    GS_FUZZ_EXPECT(again->tensors[i].shape == header.tensors[i].shape);
  }
  for (const auto& [key, value] : header.metadata) {
    if (key == kGgufAlignmentKey) continue;
    const GgufValue* found = again->Find(key);
    GS_FUZZ_EXPECT(found != nullptr && found->type() == value.type());
    GS_FUZZ_EXPECT(AsText(found->bytes()) == AsText(value.bytes()));
  }
}

void TryParse(std::span<const std::byte> bytes, uint64_t file_bytes) {
  const auto header = ParseGgufHeader(bytes, file_bytes);
  if (!header) {
    GS_FUZZ_EXPECT(!header.error().ToString().empty());
    return;
  }
  GS_FUZZ_EXPECT(header->bytes().size() == header->data_offset);
  GS_FUZZ_EXPECT(header->data_offset <= file_bytes);
  CheckTensors(*header);
  CheckMetadata(*header);
  CheckRewriting(*header);
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const auto bytes = std::as_bytes(std::span(data, size_bytes));
  // As a whole file, and as the header of a larger one, whose tensors may then be large.
  gguf_shard::TryParse(bytes, size_bytes);
  gguf_shard::TryParse(bytes, size_bytes + (uint64_t{1} << 45));
  return 0;
}
