#include "kernels/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <numeric>
#include <string>

#include "tests/kernels/test_matrix.h"

namespace gguf_shard {
namespace {

using Parameters = std::tuple<TensorType, KernelIsa>;

class MatMulTest : public testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    if (!KernelIsaIsSupported(isa())) GTEST_SKIP() << "this processor lacks " << Name(isa());
  }
  static std::string Name(KernelIsa isa) { return std::string(KernelIsaName(isa)); }
  TensorType type() const { return std::get<0>(GetParam()); }
  KernelIsa isa() const { return std::get<1>(GetParam()); }

  // A number of columns that leaves the last tile incomplete where the type allows it.
  uint32_t OddColumns() const {
    const TensorTypeInfo& info = GetTensorType(type());
    if (info.block_weights == 256) return 3 * 256;
    if (info.block_weights == 32) return info.tile_columns * 2 + 96;
    return 203;
  }

  std::vector<float> Multiply(const StripRun& run, const ActivationBatch& x,
                              std::span<const uint32_t> tokens) const {
    std::vector<float> y(tokens.size() * run.rows, kUntouched);
    MatMul(isa(), run, x, tokens, y.data(), run.rows);
    return y;
  }

  // With tile registers, so many that they are used.
  uint32_t AtLeast(uint32_t tokens) const {
    return isa() == KernelIsa::kAmx ? tokens + 11 : tokens;
  }

  static constexpr float kUntouched = -12345.0f;
};

std::vector<uint32_t> AllTokens(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 0u);
  return tokens;
}

// What one product's rounding contributes to the error, as a standard deviation: a 16-bit
// activation is off by a uniform part of its group's step, a float product by a part of its last
// bit.
double ProductError(bool is_float, double weight, const float* values, uint64_t column,
                    uint64_t columns) {
  if (is_float) return std::abs(weight * double{values[column]}) * 0x1p-24;
  const uint64_t first = column / 32 * 32;
  double largest = 0;
  for (uint64_t c = first; c < std::min(first + 32, columns); ++c) {
    largest = std::max(largest, std::abs(double{values[c]}));
  }
  return std::abs(weight) * largest / 32512 / std::sqrt(12.0);
}

// Errors in units of what exact arithmetic on 16-bit activations may expect: the rms is about 1.
// Activations of 8 bits would give 256.
struct Errors {
  double rms;
  double max;
};

Errors Compare(const TestMatrix& matrix, const ActivationBatch& x, std::span<const uint32_t> tokens,
               std::span<const float> y) {
  const uint64_t rows = matrix.layout.rows;
  const uint64_t columns = matrix.layout.columns;
  Errors errors{};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const float* values = x.values(tokens[i]);
    for (uint64_t row = 0; row < rows; ++row) {
      double sum = 0;
      double variance = 0;
      for (uint64_t c = 0; c < columns; ++c) {
        const double weight = double{matrix.weights[row * columns + c]};
        sum += weight * double{values[c]};
        const double error =
            ProductError(IsFloatType(matrix.layout.type), weight, values, c, columns);
        variance += error * error;
      }
      const double error = std::abs(double{y[i * rows + row]} - sum) / std::sqrt(variance);
      errors.rms += error * error;
      errors.max = std::isnan(error) ? INFINITY : std::max(errors.max, error);
    }
  }
  errors.rms = std::sqrt(errors.rms / static_cast<double>(tokens.size() * rows));
  return errors;
}

void ExpectAccurate(const TestMatrix& matrix, const ActivationBatch& x,
                    std::span<const uint32_t> tokens, std::span<const float> y) {
  const Errors errors = Compare(matrix, x, tokens, y);
  const double samples = static_cast<double>(tokens.size() * matrix.layout.rows);
  // A float sum also rounds after each addition, hence more units there.
  const bool is_float = IsFloatType(matrix.layout.type);
  EXPECT_LT(errors.rms, is_float ? 8.0 : 1.3 + 3.0 / std::sqrt(samples));
  EXPECT_LT(errors.max, is_float ? 40.0 : 8.0);
}

TEST_P(MatMulTest, AgreesWithExactWeightsOnOddShapesAndBatches) {
  const uint32_t tile_rows = GetTensorType(type()).tile_rows;
  for (const uint32_t rows : {1u, tile_rows - 1, tile_rows, 2 * tile_rows + 5}) {
    for (const uint32_t token_count : {1u, 3u, 17u}) {
      const uint32_t columns = OddColumns();
      const TestMatrix matrix = RandomMatrix(type(), rows, columns, rows);
      const auto values = RandomActivations(token_count, columns, token_count);
      const ActivationBatch x = MakeBatch(token_count, columns, values);
      const auto tokens = AllTokens(token_count);
      SCOPED_TRACE(testing::Message() << rows << " rows, " << token_count << " tokens");
      ExpectAccurate(matrix, x, tokens, Multiply(matrix.Run(), x, tokens));
    }
  }
}

TEST_P(MatMulTest, WorksForEveryTileHeight) {
  const TensorTypeInfo& info = GetTensorType(type());
  const uint32_t columns = std::max(info.block_weights, 32u);
  const uint32_t row_bytes = columns / info.block_weights * info.block_bytes;
  const uint32_t tallest = std::min(kMaxTileRows, kPageContentBytes / row_bytes);
  const uint32_t count = AtLeast(2);
  const auto values = RandomActivations(count, columns, 5);
  const ActivationBatch x = MakeBatch(count, columns, values);
  for (uint32_t tile_rows = 1; tile_rows <= tallest; ++tile_rows) {
    const TestMatrix matrix =
        RandomMatrix(type(), 2 * tile_rows + 1, columns, 9, tile_rows, columns);
    SCOPED_TRACE(tile_rows);
    ExpectAccurate(matrix, x, AllTokens(count), Multiply(matrix.Run(), x, AllTokens(count)));
  }
}

TEST_P(MatMulTest, ResultsDoNotDependOnTheBatch) {
  const uint32_t columns = OddColumns();
  const TestMatrix matrix = RandomMatrix(type(), 70, columns, 1);
  const ActivationBatch x = MakeBatch(23, columns, RandomActivations(23, columns, 2));
  const auto all = Multiply(matrix.Run(), x, AllTokens(23));
  for (uint32_t token = 0; token < 23; ++token) {
    const std::vector<uint32_t> alone = {token};
    const auto one = Multiply(matrix.Run(), x, alone);
    EXPECT_EQ(0, std::memcmp(one.data(), all.data() + size_t{token} * 70, 70 * sizeof(float)))
        << token;
  }
}

TEST_P(MatMulTest, ASubsetOfTokensInAnyOrderGivesTheirRows) {
  const uint32_t columns = OddColumns();
  const TestMatrix matrix = RandomMatrix(type(), 70, columns, 3);
  const ActivationBatch x = MakeBatch(9, columns, RandomActivations(9, columns, 4));
  const auto all = Multiply(matrix.Run(), x, AllTokens(9));
  const std::vector<uint32_t> subset = {8, 1, 1, 5, 0, 7, 2};
  const auto some = Multiply(matrix.Run(), x, subset);
  for (size_t i = 0; i < subset.size(); ++i) {
    EXPECT_EQ(0, std::memcmp(some.data() + i * 70, all.data() + size_t{subset[i]} * 70,
                             70 * sizeof(float)));
  }
}

// Enough tokens for tile registers: at even distances, at uneven ones, with a rest of each size,
// and more than are computed from one unpacking of a page.
TEST_P(MatMulTest, LargeBatchesGiveEveryTokenTheBitsItHasAlone) {
  constexpr uint32_t kRows = 37;
  const uint32_t columns = OddColumns();
  const TestMatrix matrix = RandomMatrix(type(), kRows, columns, 14);
  const ActivationBatch x = MakeBatch(150, columns, RandomActivations(150, columns, 15));
  std::vector<float> alone;
  for (uint32_t token = 0; token < 150; ++token) {
    const std::vector<uint32_t> one = {token};
    const auto row = Multiply(matrix.Run(), x, one);
    alone.insert(alone.end(), row.begin(), row.end());
  }
  std::vector<std::vector<uint32_t>> batches;
  for (uint32_t count = 11; count <= 28; ++count) batches.push_back(AllTokens(count));
  batches.push_back(AllTokens(150));
  batches.push_back({});
  for (uint32_t i = 0; i < 40; ++i) batches.back().push_back(i * i % 150);
  batches.push_back({});
  for (uint32_t i = 0; i < 35; ++i) batches.back().push_back(149 - 3 * i);
  batches.push_back({});
  for (uint32_t i = 0; i < 35; ++i) batches.back().push_back(4 * i + 2);
  for (const auto& tokens : batches) {
    const auto y = Multiply(matrix.Run(), x, tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_EQ(0, std::memcmp(y.data() + i * kRows, alone.data() + size_t{tokens[i]} * kRows,
                               kRows * sizeof(float)))
          << "token " << i << " of " << tokens.size();
    }
  }
}

TEST_P(MatMulTest, RunsInTheMiddleWriteTheirOwnRowsOnly) {
  const uint32_t columns = OddColumns();
  const uint32_t tile_rows = GetTensorType(type()).tile_rows;
  const uint32_t rows = 3 * tile_rows + 7;
  const TestMatrix matrix = RandomMatrix(type(), rows, columns, 5);
  const uint32_t count = AtLeast(3);
  const ActivationBatch x = MakeBatch(count, columns, RandomActivations(count, columns, 6));
  const auto all = Multiply(matrix.Run(), x, AllTokens(count));
  for (const uint64_t first : {0u, 1u, 3u}) {
    const uint64_t strips = first == 1 ? 2 : 1;
    const auto part = Multiply(matrix.Run(first, strips), x, AllTokens(count));
    for (size_t i = 0; i < part.size(); ++i) {
      const uint64_t row = i % rows;
      const bool inside = row >= first * tile_rows && row < (first + strips) * tile_rows;
      ASSERT_EQ(part[i], inside ? all[i] : kUntouched) << "row " << row;
    }
  }
}

TEST_P(MatMulTest, ExtremeScalesStayAccurate) {
  const uint32_t columns = OddColumns();
  const uint32_t count = AtLeast(2);
  for (const float magnitude : {1e-6f, 6000.0f}) {
    if (type() == TensorType::kMXFP4) break;
    const uint64_t blocks = uint64_t{40} * columns / GetTensorType(type()).block_weights;
    const TestMatrix matrix =
        MakeMatrix(type(), 40, columns, RandomBlocks(type(), blocks, 7, magnitude));
    auto values = RandomActivations(count, columns, 8);
    for (float& value : values) value *= magnitude;
    const ActivationBatch x = MakeBatch(count, columns, values);
    SCOPED_TRACE(magnitude);
    ExpectAccurate(matrix, x, AllTokens(count), Multiply(matrix.Run(), x, AllTokens(count)));
  }
}

TEST_P(MatMulTest, TheLargestIntegersDoNotOverflow) {
  const uint32_t columns = 512;
  const uint32_t count = AtLeast(1);
  for (const std::byte fill : {std::byte{0x00}, std::byte{0x80}, std::byte{0xff}}) {
    if (IsFloatType(type())) break;
    const TensorTypeInfo& info = GetTensorType(type());
    std::vector<std::byte> source(size_t{30} * columns / info.block_weights * info.block_bytes,
                                  fill);
    for (size_t block = 0; block < source.size(); block += info.block_bytes) {
      for (const uint32_t offset : F16FactorOffsets(type())) {
        source[block + offset] = std::byte{0x00};
        source[block + offset + 1] = std::byte{0x3c};  // 1.0
      }
      if (type() == TensorType::kMXFP4) source[block] = std::byte{127};
    }
    const TestMatrix matrix = MakeMatrix(type(), 30, columns, source);
    for (const float value : {32512.0f, -32512.0f}) {
      std::vector<float> values(size_t{count} * columns, value);
      // low plane at -128
      for (size_t i = 0; i < values.size(); i += 2) values[i] = value * 0.99607f;
      const ActivationBatch x = MakeBatch(count, columns, values);
      const auto y = Multiply(matrix.Run(), x, AllTokens(count));
      double expected = 0;
      double magnitude = 0;
      for (size_t c = 0; c < columns; ++c) {
        expected += double{matrix.weights[c]} * double{values[c]};
        magnitude += std::abs(double{matrix.weights[c]} * double{values[c]});
      }
      for (const float result : y) ASSERT_NEAR(result, expected, magnitude * 2e-5 + 512.0);
    }
  }
}

// Pages that end where readable memory ends.
class GuardedPages {
 public:
  explicit GuardedPages(std::span<const std::byte> bytes) : size_(bytes.size() + kPageBytes) {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    start_ = static_cast<std::byte*>(memory);
    std::memcpy(start_, bytes.data(), bytes.size());
    EXPECT_EQ(0, mprotect(start_ + bytes.size(), kPageBytes, PROT_NONE));
  }
  ~GuardedPages() { munmap(start_, size_); }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;
  const std::byte* start() const { return start_; }

 private:
  size_t size_;
  std::byte* start_;
};

// A run in memory that must not be read.
TEST_P(MatMulTest, TheNextRunIsFetchedAndNotRead) {
  const uint32_t columns = 4 * GetTensorType(type()).tile_columns;
  const uint32_t count = AtLeast(1);
  const TestMatrix matrix = RandomMatrix(type(), 2 * GetTensorType(type()).tile_rows, columns, 12);
  const ActivationBatch x = MakeBatch(count, columns, RandomActivations(count, columns, 13));
  const GuardedPages pages(matrix.pages);
  StripRun run = matrix.Run();
  const auto y = Multiply(run, x, AllTokens(count));
  run.next_pages = pages.start() + matrix.pages.size();
  EXPECT_EQ(y, Multiply(run, x, AllTokens(count)));
}

TEST_P(MatMulTest, ReadsNothingBehindTheLastPage) {
  const TensorTypeInfo& info = GetTensorType(type());
  const uint32_t columns = std::max(info.block_weights, 32u);
  const uint32_t row_bytes = columns / info.block_weights * info.block_bytes;
  const uint32_t tallest = std::min(kMaxTileRows, kPageContentBytes / row_bytes);
  const uint32_t count = AtLeast(5);
  const ActivationBatch x = MakeBatch(count, columns, RandomActivations(count, columns, 11));
  for (uint32_t tile_rows = 1; tile_rows <= tallest; ++tile_rows) {
    const uint32_t tile_columns =
        kPageContentBytes / tile_rows / info.block_bytes * info.block_weights;
    const TestMatrix matrix = RandomMatrix(type(), tile_rows, columns, 10, tile_rows, tile_columns);
    const GuardedPages pages(matrix.pages);
    const auto y = Multiply(matrix.RunAt(pages.start(), 0, 1), x, AllTokens(count));
    ASSERT_EQ(y, Multiply(matrix.Run(), x, AllTokens(count))) << tile_rows;
  }
}

TEST_P(MatMulTest, APageFullOfPlanesIsReadWithoutLeavingIt) {
  const TensorTypeInfo& info = GetTensorType(type());
  const uint32_t count = AtLeast(3);
  const ActivationBatch x =
      MakeBatch(count, info.tile_columns, RandomActivations(count, info.tile_columns, 13));
  const TestMatrix matrix = RandomMatrix(type(), info.tile_rows, info.tile_columns, 12);
  const GuardedPages pages(matrix.pages);
  const auto y = Multiply(matrix.RunAt(pages.start(), 0, 1), x, AllTokens(count));
  ExpectAccurate(matrix, x, AllTokens(count), y);
}

INSTANTIATE_TEST_SUITE_P(TypesAndIsas, MatMulTest,
                         testing::Combine(testing::ValuesIn(kMatMulTypes),
                                          testing::Values(KernelIsa::kPortable, KernelIsa::kNeon,
                                                          KernelIsa::kAvx2, KernelIsa::kAvxVnni,
                                                          KernelIsa::kAvx512Vnni, KernelIsa::kAmx)),
                         [](const testing::TestParamInfo<Parameters>& parameters) {
                           return std::string(TensorTypeName(std::get<0>(parameters.param))) + "_" +
                                  std::string(KernelIsaName(std::get<1>(parameters.param)));
                         });

TEST(MatMulReferenceTest, AgreesWithASumOverTheSourceBlocks) {
  for (const TensorType type : kMatMulTypes) {
    const uint32_t columns = IsFloatType(type) ? 77 : 512;
    const TestMatrix matrix = RandomMatrix(type, 67, columns, 21);
    const ActivationBatch x = MakeBatch(2, columns, RandomActivations(2, columns, 22));
    const std::vector<uint32_t> tokens = {1, 0};
    std::vector<float> y(2 * 67);
    MatMulReference(matrix.Run(), x, tokens, y.data(), 67);
    for (size_t i = 0; i < 2; ++i) {
      for (size_t row = 0; row < 67; ++row) {
        double sum = 0;
        for (size_t c = 0; c < columns; ++c) {
          sum += double{matrix.weights[row * columns + c]} * double{x.values(tokens[i])[c]};
        }
        ASSERT_EQ(y[i * 67 + row], static_cast<float>(sum)) << TensorTypeName(type);
      }
    }
  }
}

TEST(MatMulKernelTest, ExistsExactlyForTheTypesThatAreMultiplied) {
  for (const TensorTypeInfo& info : AllTensorTypes()) {
    const bool expected = std::find(std::begin(kMatMulTypes), std::end(kMatMulTypes), info.type) !=
                          std::end(kMatMulTypes);
    EXPECT_EQ(HasMatMulKernel(info.type), expected) << info.name;
    EXPECT_EQ(CanDequantize(info.type), expected) << info.name;
  }
}

TEST(KernelIsaTest, TheEnvironmentLowersTheChoiceAndUnknownNamesAreIgnored) {
  const KernelIsa best = DetectKernelIsa();
  ASSERT_EQ(0, setenv("GGUF_SHARD_ISA", "portable", 1));
  EXPECT_EQ(DetectKernelIsa(), KernelIsa::kPortable);
  ASSERT_EQ(0, setenv("GGUF_SHARD_ISA", "sse9", 1));
  EXPECT_TRUE(KernelIsaIsSupported(DetectKernelIsa()));
  ASSERT_EQ(0, unsetenv("GGUF_SHARD_ISA"));
  EXPECT_EQ(DetectKernelIsa(), best);
}

}  // namespace
}  // namespace gguf_shard
