// The map reader: whatever it accepts lies within its core, has layouts that can be walked, and
// survives being written and read again.
#include <string_view>

#include "core/map.h"
#include "core/tile.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

void CheckUnit(const TensorLayout& layout, uint64_t unit_index) {
  const PackUnit unit = GetPackUnit(layout, unit_index);
  GS_FUZZ_EXPECT(unit.page_count > 0);
  GS_FUZZ_EXPECT(unit.first_page + unit.page_count <= layout.page_count);
  GS_FUZZ_EXPECT(PackUnitOfPage(layout, unit.first_page) == unit_index);
}

void CheckTensor(const CoreMap& map, const MapTensor& tensor) {
  GS_FUZZ_EXPECT(map.FindTensor(tensor.name) != nullptr);
  GS_FUZZ_EXPECT(tensor.pages().end_page() <= map.core.index.first_page);
  GS_FUZZ_EXPECT(tensor.source_file < map.source.files.size());
  const MapSourceFile& file = map.source.files[tensor.source_file];
  GS_FUZZ_EXPECT(tensor.source_bytes <= file.byte_size);
  GS_FUZZ_EXPECT(tensor.source_offset <= file.byte_size - tensor.source_bytes);
  const uint64_t units = PackUnitCount(tensor.layout);
  GS_FUZZ_EXPECT((units == 0) == (tensor.layout.page_count == 0));
  if (units == 0) return;
  CheckUnit(tensor.layout, 0);
  CheckUnit(tensor.layout, units - 1);
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  using namespace gguf_shard;
  const auto map = ParseMap({reinterpret_cast<const char*>(data), size_bytes});
  if (!map) {
    GS_FUZZ_EXPECT(!map.error().ToString().empty());
    return 0;
  }
  for (const MapTensor& tensor : map->tensors) CheckTensor(*map, tensor);
  const std::string text = SerializeMap(*map);
  const auto again = ParseMap(text);
  GS_FUZZ_EXPECT(again.has_value());
  GS_FUZZ_EXPECT(SerializeMap(*again) == text);
  return 0;
}
