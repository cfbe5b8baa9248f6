// The topics and routers of a mixture of experts.
#include <algorithm>
#include <cmath>
#include <string_view>

#include "bench/model/weights.h"
#include "core/bytes.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kTopics = 64;
constexpr double kTopicSkew = 1.5;     // topic k's share of the words falls with k
constexpr double kTopicShare = 0.4;    // of an embedding's variance
constexpr double kEmbeddingScale = 2;  // above what the layers add, so that topics survive them
constexpr double kTopicPull = 0.3;     // of the output towards its topic
constexpr double kRouterSpread = 0.35;

// Uniform with mean 0 and variance 1, the same for the same arguments.
double Direction(uint64_t what, uint64_t row, uint64_t column) {
  RandomBytes random(what * 0x9E3779B97F4A7C15u ^ row * 0xD1342543DE82EF95u ^
                     column * 0xA0761D6478BD642Fu);
  const double unit = static_cast<double>(random.Next() >> 11) * 0x1p-53;
  return (2 * unit - 1) * std::sqrt(3.0);
}

uint32_t TopicOf(uint64_t word) {
  const double unit = Direction(1, word, 0) / (2 * std::sqrt(3.0)) + 0.5;
  return std::min(kTopics - 1, static_cast<uint32_t>(std::pow(unit, kTopicSkew) * kTopics));
}

// The layer in "blk.7.ffn_gate_inp.weight".
uint64_t NumberIn(std::string_view name) {
  uint64_t number = 0;
  for (const char c : name) {
    if (c >= '0' && c <= '9') number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

double MadeValue(const PlannedTensor& tensor, uint64_t row, uint64_t column) {
  const double width = static_cast<double>(tensor.shape[0]);
  if (tensor.made == Made::kRouter) {
    const uint64_t layer = 100 + 2 * NumberIn(tensor.name);
    const double length = std::exp(kRouterSpread * Direction(layer, row, 0));
    return 1.5 * length * Direction(layer + 1, row, column) / std::sqrt(width);
  }
  const double topic = Direction(2, TopicOf(row), column);
  if (tensor.made == Made::kOutput) {
    return (kTopicPull * topic + Direction(4, row, column)) / std::sqrt(width);
  }
  return kEmbeddingScale *
         (std::sqrt(kTopicShare) * topic + std::sqrt(1 - kTopicShare) * Direction(3, row, column));
}

}  // namespace

// F32 for routers, Q8_0 for the rest.
void FillMade(const PlannedTensor& tensor, uint64_t first_byte, std::span<std::byte> bytes) {
  const uint64_t columns = tensor.shape[0];
  if (tensor.type == TensorType::kF32) {
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const uint64_t element = (first_byte + i) / 4;
      StoreLe(bytes.data() + i,
              static_cast<float>(MadeValue(tensor, element / columns, element % columns)));
    }
    return;
  }
  for (size_t i = 0; i < bytes.size(); i += 34) {
    const uint64_t first_element = (first_byte + i) / 34 * 32;
    double values[32];
    double largest = 1e-6;
    for (uint64_t k = 0; k < 32; ++k) {
      values[k] = MadeValue(tensor, first_element / columns, first_element % columns + k);
      largest = std::max(largest, std::abs(values[k]));
    }
    StoreLe(bytes.data() + i, PositiveF16(largest / 127));
    for (uint64_t k = 0; k < 32; ++k) {
      const auto quant = static_cast<int8_t>(std::lround(values[k] / largest * 127));
      StoreLe(bytes.data() + i + 2 + k, quant);
    }
  }
}

}  // namespace gguf_shard
