// The small operations of a layer against scalar code in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/dequantize.h"
#include "tests/kernels_vulkan/device_fixture.h"

namespace gguf_shard {
namespace {

std::vector<float> Random(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// As the device wants it, and with the workgroups of a graphics processor.
class DeviceVectorTest : public DeviceTest, public ::testing::WithParamInterface<bool> {
 protected:
  static DeviceKernels& Kernels() {
    KernelTuning tuning = TuningFor(device_->info());
    tuning.wide_groups |= GetParam();
    return KernelsOf(tuning);
  }
};
INSTANTIATE_TEST_SUITE_P(Groups, DeviceVectorTest, ::testing::Bool(),
                         [](const auto& wide) { return wide.param ? "wide" : "chosen"; });

TEST_P(DeviceVectorTest, RmsNormAddsBranchAndBiasThenNorms) {
  constexpr uint32_t kWidth = 203;
  constexpr uint32_t kStride = 204;
  constexpr uint32_t kRows = 3;
  const auto hidden_in = Random(kStride * kRows, 1);
  const auto branch = Random(kStride * kRows, 2);
  const auto bias = Random(kWidth, 3);
  const auto weight = Random(kWidth, 4);
  for (const bool adds : {false, true}) {
    RmsNormArguments arguments;
    const auto hidden = Shared<float>(kStride * kRows, arguments.hidden);
    std::ranges::copy(hidden_in, hidden.begin());
    const auto normed = Shared<float>(kStride * kRows, arguments.normed);
    arguments.branch = Upload(branch);
    arguments.bias = Upload(bias);
    arguments.weight = Upload(weight);
    arguments.first_row = 1;
    arguments.width = kWidth;
    arguments.stride = kStride;
    arguments.epsilon = 1e-5f;
    arguments.adds_branch = adds ? 1 : 0;
    arguments.adds_bias = adds ? 1 : 0;
    arguments.norms = 1;
    DeviceKernels& kernels = Kernels();
    Execute([&](gpu::Commands& commands) { return kernels.RmsNorm(commands, 2, arguments); });
    for (size_t row = 1; row < kRows; ++row) {
      std::vector<double> values(kWidth);
      double squares = 0;
      for (size_t i = 0; i < kWidth; ++i) {
        const size_t at = row * kStride + i;
        values[i] = double{hidden_in[at]} + (adds ? double{branch[at]} + double{bias[i]} : 0.0);
        squares += values[i] * values[i];
        ASSERT_NEAR(hidden[at], values[i], 1e-6);
      }
      const double scale = 1 / std::sqrt(squares / kWidth + 1e-5);
      for (size_t i = 0; i < kWidth; ++i) {
        ASSERT_NEAR(normed[(row - 1) * kStride + i], values[i] * scale * weight[i], 4e-6);
      }
    }
    EXPECT_EQ(hidden[0], hidden_in[0]);
  }
}

TEST_P(DeviceVectorTest, SwiGluGatesWithBiases) {
  constexpr uint32_t kWidth = 77;
  constexpr uint32_t kStride = 80;
  auto gate_in = Random(kStride * 2, 1);
  gate_in[3] = -120;  // exp overflows
  gate_in[4] = 120;
  const auto up = Random(kStride * 2, 2);
  const auto bias = Random(kWidth, 3);
  SwiGluArguments arguments;
  const auto gate = Shared<float>(kStride * 2, arguments.gate);
  std::ranges::copy(gate_in, gate.begin());
  arguments.up = Upload(up);
  arguments.gate_bias = Upload(bias);
  arguments.width = kWidth;
  arguments.stride = kStride;
  arguments.has_gate_bias = 1;
  DeviceKernels& kernels = Kernels();
  Execute([&](gpu::Commands& commands) { return kernels.SwiGlu(commands, 2, arguments); });
  for (size_t row = 0; row < 2; ++row) {
    for (size_t i = 0; i < kWidth; ++i) {
      const size_t at = row * kStride + i;
      const double x = double{gate_in[at]} + double{bias[i]};
      const double expected = x / (1 + std::exp(-x)) * double{up[at]};
      ASSERT_NEAR(gate[at], expected, std::abs(expected) * 1e-5 + 1e-7) << i;
    }
  }
  EXPECT_EQ(gate[kWidth], gate_in[kWidth]);  // behind the row
}

TEST_P(DeviceVectorTest, RoutingTakesTheMostProbableExpertsTheLowerNumberOnATie) {
  constexpr uint32_t kUsed = 3;
  for (const uint32_t count : {4u, 128u}) {
    constexpr uint32_t kTokens = 5;
    auto scores = Random(size_t{kTokens} * count, count);
    scores[1] = scores[2] = scores[3] = 9;  // a tie for all three places of token 0
    scores[count] = 30;                     // the others of token 1 have next to no share
    RouteExpertsArguments arguments;
    const auto router = Shared<float>(scores.size(), arguments.router);
    std::ranges::copy(scores, router.begin());
    const auto chosen = Shared<uint32_t>(kTokens * kUsed, arguments.chosen);
    const auto weights = Shared<float>(kTokens * kUsed, arguments.weights);
    arguments.expert_count = count;
    arguments.used_count = kUsed;
    arguments.stride = count;
    DeviceKernels& kernels = Kernels();
    Execute([&](gpu::Commands& commands) {
      return kernels.RouteExperts(commands, kTokens, arguments);
    });
    for (uint32_t token = 0; token < kTokens; ++token) {
      const auto row = std::span(scores).subspan(size_t{token} * count, count);
      std::vector<uint32_t> order(count);
      for (uint32_t i = 0; i < count; ++i) order[i] = i;
      std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return row[a] > row[b]; });
      order.resize(kUsed);
      std::ranges::sort(order);
      double sum = 0;
      for (const uint32_t expert : order) sum += std::exp(double{row[expert]} - 30);
      for (uint32_t slot = 0; slot < kUsed; ++slot) {
        EXPECT_EQ(chosen[token * kUsed + slot], order[slot]) << token;
        const double share = std::exp(double{row[order[slot]]} - 30) / sum;
        EXPECT_NEAR(weights[token * kUsed + slot], share, 2e-6) << token;
      }
    }
  }
}

TEST_P(DeviceVectorTest, ExpertsAreCombinedByTheirShares) {
  constexpr uint32_t kWidth = 33;
  constexpr uint32_t kStride = 36;
  const auto outputs = Random(kStride * 4, 1);
  const std::vector<uint32_t> pairs = {3, 0, 1, 2};
  const std::vector<float> shares = {0.25f, 0.75f, 0.5f, 0.5f};
  CombineExpertsArguments arguments;
  arguments.outputs = Upload(outputs);
  arguments.pairs = Upload(pairs);
  arguments.weights = Upload(shares);
  const auto branch = Shared<float>(kStride * 2, arguments.branch);
  arguments.width = kWidth;
  arguments.stride = kStride;
  arguments.used_count = 2;
  DeviceKernels& kernels = Kernels();
  Execute([&](gpu::Commands& commands) { return kernels.CombineExperts(commands, 2, arguments); });
  for (size_t token = 0; token < 2; ++token) {
    for (size_t i = 0; i < kWidth; ++i) {
      double expected = 0;
      for (size_t slot = token * 2; slot < token * 2 + 2; ++slot) {
        expected += double{shares[slot]} * double{outputs[pairs[slot] * kStride + i]};
      }
      ASSERT_NEAR(branch[token * kStride + i], expected, 1e-6);
    }
  }
}

// Query, key and value of a few tokens, through prepare_heads and attention, in every cache type.
struct HeadCase {
  HeadShape shape;
  bool has_bias;
  bool has_norms;
  double tolerance;
  bool wide = false;  // with the workgroups of a graphics processor
};

constexpr uint32_t kHeads = 4;
constexpr uint32_t kKvHeads = 2;
constexpr uint32_t kPositions = 60;
constexpr uint32_t kTokens = 50;
constexpr float kEpsilon = 1e-6f;

struct HeadInput {
  std::vector<float> query, key, value, bias, norms, turns;
};

HeadInput MakeInput(const HeadShape& shape) {
  const uint32_t value_width = kKvHeads * shape.value_length;
  HeadInput input;
  input.query = Random(size_t{kTokens} * kHeads * shape.key_length, 1);
  input.key = Random(size_t{kTokens} * kKvHeads * shape.key_length, 2);
  input.value = Random(size_t{kTokens} * value_width, 3);
  input.bias = Random(size_t{kHeads + kKvHeads} * shape.key_length + value_width, 4);
  input.norms = Random(size_t{shape.key_length} * 2, 5);
  for (uint32_t token = 0; token < kTokens; ++token) {
    for (uint32_t pair = 0; pair < shape.rotated / 2; ++pair) {
      input.turns.push_back(static_cast<float>(std::cos(token * 0.3 / (pair + 1))));
      input.turns.push_back(static_cast<float>(std::sin(token * 0.3 / (pair + 1))));
    }
  }
  return input;
}

// Head `head` (query heads, then key heads) of a token, biased, normed and turned.
std::vector<double> PreparedHead(const HeadCase& test, const HeadInput& input, uint32_t token,
                                 uint32_t head) {
  const uint32_t length = test.shape.key_length;
  const bool is_query = head < kHeads;
  const float* source = is_query ? &input.query[(size_t{token} * kHeads + head) * length]
                                 : &input.key[(size_t{token} * kKvHeads + head - kHeads) * length];
  std::vector<double> values(source, source + length);
  double squares = 0;
  for (uint32_t i = 0; i < length; ++i) {
    if (test.has_bias) values[i] += double{input.bias[head * length + i]};
    squares += values[i] * values[i];
  }
  for (uint32_t i = 0; test.has_norms && i < length; ++i) {
    values[i] *= double{input.norms[(is_query ? 0 : length) + i]} /
                 std::sqrt(squares / length + double{kEpsilon});
  }
  for (uint32_t pair = 0; pair < test.shape.rotated / 2; ++pair) {
    const uint32_t first = test.shape.adjacent_pairs ? pair * 2 : pair;
    const uint32_t second = test.shape.adjacent_pairs ? first + 1 : first + test.shape.rotated / 2;
    const double cosine = double{input.turns[token * test.shape.rotated + pair * 2]};
    const double sine = double{input.turns[token * test.shape.rotated + pair * 2 + 1]};
    const double x = values[first];
    const double y = values[second];
    values[first] = x * cosine - y * sine;
    values[second] = x * sine + y * cosine;
  }
  return values;
}

std::vector<double> Attended(const HeadCase& test, const HeadInput& input, uint32_t token,
                             uint32_t head) {
  const uint32_t value_length = test.shape.value_length;
  const uint32_t kv_head = head / (kHeads / kKvHeads);
  const auto query = PreparedHead(test, input, token, head);
  std::vector<double> result(value_length);
  double sum = 0;
  for (uint32_t at = 0; at <= token; ++at) {
    const auto key = PreparedHead(test, input, at, kHeads + kv_head);
    double score = 0;
    for (uint32_t i = 0; i < test.shape.key_length; ++i) score += query[i] * key[i];
    const double weight = std::exp(score / std::sqrt(test.shape.key_length));
    sum += weight;
    for (uint32_t i = 0; i < value_length; ++i) {
      const size_t index = kv_head * value_length + i;
      double value = double{input.value[size_t{at} * kKvHeads * value_length + index]};
      if (test.has_bias) {
        value += double{input.bias[(kHeads + kKvHeads) * test.shape.key_length + index]};
      }
      result[i] += weight * value;
    }
  }
  for (double& value : result) value /= sum;
  return result;
}

class DeviceHeadTest : public DeviceTest, public ::testing::WithParamInterface<HeadCase> {
 protected:
  uint64_t AllocateCache(const HeadShape& shape) {
    uint64_t address = 0;
    const uint64_t bytes = uint64_t{kKvHeads} * kPositions *
                           (DeviceKvRowBytes(shape.kv_type, shape.key_length) +
                            DeviceKvRowBytes(shape.kv_type, shape.value_length));
    Shared<std::byte>(bytes, address);
    return address;
  }

  // Tokens [first, + count) through both shaders.
  void Run(DeviceKernels& kernels, const HeadCase& test, const HeadInput& input, uint64_t cache,
           uint32_t first, uint32_t count, std::span<float> attended, uint64_t attended_address) {
    const HeadShape& shape = test.shape;
    const uint32_t query_width = kHeads * shape.key_length;
    const uint32_t key_width = kKvHeads * shape.key_length;
    const uint32_t value_width = kKvHeads * shape.value_length;
    const auto rows = [&](const std::vector<float>& values, uint32_t width) {
      return Upload(
          std::span<const float>(values).subspan(size_t{first} * width, size_t{count} * width));
    };
    PrepareHeadsArguments prepare;
    prepare.query = rows(input.query, query_width);
    prepare.key = rows(input.key, key_width);
    prepare.value = rows(input.value, value_width);
    prepare.bias = Upload(input.bias);
    prepare.norms = Upload(input.norms);
    prepare.turns = rows(input.turns, shape.rotated);
    prepare.cache = cache;
    prepare.head_count = kHeads;
    prepare.head_count_kv = kKvHeads;
    prepare.first_position = first;
    prepare.positions = kPositions;
    prepare.query_stride = query_width;
    prepare.key_stride = key_width;
    prepare.value_stride = value_width;
    prepare.epsilon = kEpsilon;
    prepare.has_bias = test.has_bias ? 1 : 0;
    prepare.has_norms = test.has_norms ? 1 : 0;
    AttentionArguments attention;
    attention.query = prepare.query;
    attention.attended = attended_address;
    attention.cache = cache;
    attention.first_position = first;
    attention.positions = kPositions;
    attention.group_heads = kHeads / kKvHeads;
    attention.query_stride = query_width;
    attention.attended_stride = kHeads * shape.value_length;
    attention.scale = static_cast<float>(1 / std::sqrt(shape.key_length));
    Execute([&](gpu::Commands& commands) -> Result<void> {
      GS_TRY(kernels.PrepareHeads(commands, count, prepare));
      commands.Barrier();
      return kernels.Attention(commands, kHeads, count, attention);
    });
    ASSERT_EQ(attended.size(), size_t{kHeads} * shape.value_length * count);
  }
};

TEST_P(DeviceHeadTest, AttendsToEverythingSeenWhateverTheBatch) {
  const HeadCase& test = GetParam();
  const HeadInput input = MakeInput(test.shape);
  const size_t width = size_t{kHeads} * test.shape.value_length;
  KernelTuning tuning = TuningFor(device_->info());
  tuning.wide_groups |= test.wide;
  DeviceKernels kernels(*device_, test.shape, tuning);
  uint64_t address = 0;
  const auto all = Shared<float>(width * kTokens, address);
  Run(kernels, test, input, AllocateCache(test.shape), 0, kTokens, all, address);
  for (const uint32_t token : {0u, 1u, 31u, 49u}) {
    for (uint32_t head = 0; head < kHeads; ++head) {
      const auto expected = Attended(test, input, token, head);
      for (uint32_t i = 0; i < test.shape.value_length; ++i) {
        ASSERT_NEAR(all[token * width + head * test.shape.value_length + i], expected[i],
                    test.tolerance)
            << "token " << token << ", head " << head << ", value " << i;
      }
    }
  }

  const uint64_t cache = AllocateCache(test.shape);
  const auto first = Shared<float>(width * 49, address);
  Run(kernels, test, input, cache, 0, 49, first, address);
  const auto last = Shared<float>(width, address);
  Run(kernels, test, input, cache, 49, 1, last, address);
  EXPECT_EQ(0, std::memcmp(last.data(), all.data() + 49 * width, width * sizeof(float)));
}

HeadCase MakeCase(KvType type, uint32_t key, uint32_t value, uint32_t rotated, bool adjacent,
                  bool extras, double tolerance, bool wide = false) {
  return {{type, key, value, rotated, adjacent}, extras, extras, tolerance, wide};
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DeviceHeadTest,
    ::testing::Values(MakeCase(KvType::kF32, 64, 64, 64, true, false, 2e-5),
                      MakeCase(KvType::kF32, 33, 50, 20, false, true, 2e-5),
                      MakeCase(KvType::kF16, 33, 50, 32, true, true, 4e-3),
                      MakeCase(KvType::kF16, 128, 96, 64, false, false, 4e-3),
                      MakeCase(KvType::kQ8_0, 64, 96, 64, false, true, 0.08),
                      MakeCase(KvType::kQ8_0, 32, 32, 16, true, false, 0.08),
                      MakeCase(KvType::kF32, 33, 50, 20, false, true, 2e-5, true),
                      MakeCase(KvType::kF16, 33, 50, 32, true, true, 4e-3, true),
                      MakeCase(KvType::kQ8_0, 64, 96, 64, false, true, 0.08, true)));

}  // namespace
}  // namespace gguf_shard
