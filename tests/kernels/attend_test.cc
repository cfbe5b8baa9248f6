#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/vector_ops.h"

namespace gguf_shard {
namespace {

// Random queries over the random keys and values of one head.
class Heads {
 public:
  Heads(KernelIsa isa, KvType type, uint32_t key_length, uint32_t value_length, uint32_t head_count,
        uint32_t positions)
      : isa_(isa),
        type_(type),
        key_length_(key_length),
        value_length_(value_length),
        head_count_(head_count) {
    std::mt19937 random(positions);
    std::normal_distribution<float> normal;
    const auto fill = [&](size_t row_count, uint32_t length, size_t row_bytes) {
      // Rows that nobody may read are NaN.
      std::vector<std::byte> rows((row_count + 40) * row_bytes, std::byte{0xff});
      std::vector<float> values(length);
      for (size_t row = 0; row < row_count; ++row) {
        for (float& value : values) value = normal(random);
        StoreKvRow(isa, type, values.data(), length, rows.data() + row * row_bytes);
      }
      return rows;
    };
    keys_ = fill(positions, key_length, KvRowBytes(type, key_length));
    values_ = fill(positions, value_length, KvRowBytes(type, value_length));
    queries_.resize(size_t{positions} * query_width());
    for (float& value : queries_) value = 2 * normal(random);
  }

  // What the tokens at first_position.. attend to, [token][head][value_length].
  std::vector<float> Compute(uint32_t first_position, uint32_t token_count) const {
    std::vector<float> attended(token_count * attended_width(), kUntouched);
    std::vector<float> scratch(AttendScratchFloats(key_length_, value_length_) + 1, NAN);
    scratch.back() = kUntouched;
    AttendTask task{};
    task.queries = queries_.data() + first_position * query_width();
    task.query_stride = query_width();
    task.attended = attended.data();
    task.attended_stride = attended_width();
    task.token_count = token_count;
    task.head_count = head_count_;
    task.first_position = first_position;
    task.scale = kScale;
    task.keys = keys_.data();
    task.values = values_.data();
    task.key_row_bytes = KvRowBytes(type_, key_length_);
    task.value_row_bytes = KvRowBytes(type_, value_length_);
    task.key_length = key_length_;
    task.value_length = value_length_;
    task.scratch = scratch.data();
    Attend(isa_, type_, task);
    EXPECT_EQ(scratch.back(), kUntouched);
    return attended;
  }

  // The same in double precision, for one head of one token.
  std::vector<double> Reference(uint32_t position, uint32_t head) const {
    const float* query = queries_.data() + position * query_width() + head * key_length_;
    std::vector<double> weights;
    for (uint32_t at = 0; at <= position; ++at) {
      const auto key = Row(keys_, at, key_length_);
      double sum = 0;
      for (uint32_t i = 0; i < key_length_; ++i) sum += double{query[i]} * double{key[i]};
      weights.push_back(sum * kScale);
    }
    const double largest = *std::ranges::max_element(weights);
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    std::vector<double> result(value_length_, 0.0);
    for (uint32_t at = 0; at <= position; ++at) {
      const auto value = Row(values_, at, value_length_);
      for (uint32_t i = 0; i < value_length_; ++i) {
        result[i] += weights[at] / total * double{value[i]};
      }
    }
    return result;
  }

  size_t query_width() const { return size_t{head_count_} * key_length_; }
  size_t attended_width() const { return size_t{head_count_} * value_length_; }
  float* queries() { return queries_.data(); }

  static constexpr float kUntouched = -12345.0f;
  static constexpr float kScale = 0.125f;

 private:
  std::vector<float> Row(const std::vector<std::byte>& rows, uint32_t at, uint32_t length) const {
    std::vector<float> values(length);
    LoadKvRow(isa_, type_, rows.data() + at * KvRowBytes(type_, length), length, values.data());
    return values;
  }

  KernelIsa isa_;
  KvType type_;
  uint32_t key_length_;
  uint32_t value_length_;
  uint32_t head_count_;
  std::vector<std::byte> keys_;
  std::vector<std::byte> values_;
  std::vector<float> queries_;
};

class AttendTest : public testing::TestWithParam<KernelIsa> {
 protected:
  void SetUp() override {
    if (!KernelIsaIsSupported(GetParam())) GTEST_SKIP() << "this processor lacks it";
  }
};

TEST_P(AttendTest, AgreesWithDoublePrecisionOnEveryShapeAndType) {
  struct Shape {
    uint32_t key_length, value_length, head_count, positions;
  };
  for (const Shape& shape : {Shape{64, 64, 1, 70}, Shape{128, 128, 4, 33}, Shape{96, 64, 3, 40},
                             Shape{32, 160, 71, 5}, Shape{256, 128, 8, 31}}) {
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      const Heads heads(GetParam(), type, shape.key_length, shape.value_length, shape.head_count,
                        shape.positions);
      const auto attended = heads.Compute(0, shape.positions);
      for (uint32_t position = 0; position < shape.positions; ++position) {
        for (uint32_t head = 0; head < shape.head_count; ++head) {
          const auto expected = heads.Reference(position, head);
          const float* found = attended.data() + position * heads.attended_width() +
                               size_t{head} * shape.value_length;
          for (uint32_t i = 0; i < shape.value_length; ++i) {
            ASSERT_NEAR(found[i], expected[i], 2e-5) << position << " " << head << " " << i;
          }
        }
      }
    }
  }
}

TEST_P(AttendTest, RowsOfOddLengthWorkForFloats) {
  const Heads heads(GetParam(), KvType::kF16, 37, 21, 2, 40);
  const auto attended = heads.Compute(0, 40);
  for (uint32_t position = 0; position < 40; ++position) {
    for (uint32_t head = 0; head < 2; ++head) {
      const auto expected = heads.Reference(position, head);
      for (uint32_t i = 0; i < 21; ++i) {
        ASSERT_NEAR(attended[position * 42 + head * 21 + i], expected[i], 2e-5);
      }
    }
  }
}

TEST_P(AttendTest, ATokenHasTheSameBitsAloneAndInAnyBatch) {
  constexpr uint32_t kPositions = 150;
  const Heads heads(GetParam(), KvType::kF16, 64, 64, 3, kPositions);
  const size_t width = heads.attended_width();
  const auto all = heads.Compute(0, kPositions);
  for (const uint32_t batch : {1u, 2u, 7u, 64u}) {
    for (uint32_t first = 0; first < kPositions; first += batch) {
      const uint32_t count = std::min(batch, kPositions - first);
      const auto some = heads.Compute(first, count);
      ASSERT_EQ(0,
                std::memcmp(some.data(), all.data() + first * width, count * width * sizeof(float)))
          << "tokens from " << first << " in batches of " << batch;
    }
  }
}

TEST_P(AttendTest, ScoresFarApartNeitherOverflowNorVanish) {
  Heads heads(GetParam(), KvType::kF32, 64, 64, 1, 100);
  for (uint32_t i = 0; i < 100 * 64; ++i) heads.queries()[i] *= 300;
  const auto attended = heads.Compute(0, 100);
  for (uint32_t position = 0; position < 100; ++position) {
    const auto expected = heads.Reference(position, 0);
    for (uint32_t i = 0; i < 64; ++i) {
      ASSERT_NEAR(attended[position * 64 + i], expected[i], 2e-2) << position;
    }
  }
}

TEST_P(AttendTest, AFaultInAQueryShowsInItsResultAlone) {
  Heads heads(GetParam(), KvType::kF16, 64, 64, 1, 50);
  const auto sound = heads.Compute(0, 50);
  heads.queries()[20 * 64 + 3] = std::numeric_limits<float>::quiet_NaN();
  const auto attended = heads.Compute(0, 50);
  for (uint32_t position = 0; position < 50; ++position) {
    for (uint32_t i = 0; i < 64; ++i) {
      const float found = attended[position * 64 + i];
      if (position == 20) {
        ASSERT_TRUE(std::isnan(found));
      } else {
        ASSERT_EQ(found, sound[position * 64 + i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, AttendTest,
                         testing::Values(KernelIsa::kPortable, KernelIsa::kNeon, KernelIsa::kAvx2,
                                         KernelIsa::kAvx512Vnni),
                         [](const testing::TestParamInfo<KernelIsa>& parameters) {
                           return std::string(KernelIsaName(parameters.param));
                         });

}  // namespace
}  // namespace gguf_shard
