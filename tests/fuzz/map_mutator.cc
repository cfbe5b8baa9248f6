// Mutates maps as documents: a field changes, goes, or comes twice, and the JSON stays whole. Bytes
// alone are changed half of the time, as libFuzzer does by itself.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size_bytes, size_t max_bytes);

namespace gguf_shard {
namespace {

using nlohmann::json;

class MapMutator {
 public:
  explicit MapMutator(unsigned seed) : random_(seed) {}

  void Mutate(json& document) {
    std::vector<json*> nodes;
    Collect(document, nodes);
    json& node = *nodes[Below(nodes.size())];
    if (node.is_structured() && !node.empty()) {
      MutateMembers(node);
    } else if (node.is_number()) {
      node = Number(node);
    } else {
      node = Text();
    }
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }

  static void Collect(json& node, std::vector<json*>& nodes) {
    nodes.push_back(&node);
    if (!node.is_structured()) return;
    for (json& child : node) Collect(child, nodes);
  }

  void MutateMembers(json& node) {
    const auto chosen = [this, &node] {
      return std::next(node.begin(), static_cast<ptrdiff_t>(Below(node.size())));
    };
    switch (Below(3)) {
      case 0:
        node.erase(chosen());
        break;
      case 1:
        *chosen() = *chosen();
        break;
      default:
        if (node.is_array()) node.push_back(*chosen());
        break;
    }
  }

  json Number(const json& node) {
    const auto value = node.is_number_unsigned() ? node.get<uint64_t>() : uint64_t{0};
    switch (Below(6)) {
      case 0:
        return value + 1;
      case 1:
        return value - 1;
      case 2:
        return value * 2;
      case 3:
        return value / 2;
      case 4:
        return Below(300);
      default:
        return (uint64_t{1} << Below(64)) - Below(2);
    }
  }

  json Text() {
    static const char* const kTexts[] = {"F32",          "Q4_K",      "Q8_0",    "IQ2_XXS",
                                         "IQ4_XS",       "high",      "cold",    "",
                                         "column_major", "row_major", "blk.1.w", "../x"};
    return kTexts[Below(std::size(kTexts))];
  }

  std::minstd_rand random_;
};

}  // namespace
}  // namespace gguf_shard

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size_bytes, size_t max_bytes,
                                          unsigned seed) {
  using nlohmann::json;
  const auto bytes_alone = [=] { return LLVMFuzzerMutate(data, size_bytes, max_bytes); };
  if (seed % 2 == 0) return bytes_alone();
  json document = json::parse(data, data + size_bytes, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded() || !document.is_structured()) return bytes_alone();
  gguf_shard::MapMutator(seed / 2).Mutate(document);
  const std::string text = document.dump();
  if (text.size() > max_bytes) return bytes_alone();
  std::copy(text.begin(), text.end(), data);
  return text.size();
}
