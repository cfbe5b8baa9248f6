// Matrix shaders against exact sums over dequantized weights, for every type, odd shapes, pages in
// any place; and that a result depends on nothing but its own row and token.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <random>

#include "core/bytes.h"
#include "tests/kernels/test_matrix.h"
#include "tests/kernels_vulkan/device_fixture.h"

namespace gguf_shard {
namespace {

constexpr float kUntouched = -12345.0f;

// A type, and how its products are tuned: as the device wants it, where a test does not say more.
struct MatMulCase {
  TensorType type = TensorType::kF32;
  std::optional<KernelTuning> tuning;
};

class DeviceMatMulTest : public DeviceTest, public ::testing::WithParamInterface<MatMulCase> {
 protected:
  TensorType type() const { return GetParam().type; }
  bool packs() const { return Kernels().UsesIntegerDot(type()); }
  static DeviceKernels& Kernels() {
    return KernelsOf(GetParam().tuning.value_or(TuningFor(device_->info())));
  }
  uint32_t OddColumns() const {
    const TensorTypeInfo& info = GetTensorType(type());
    if (info.block_weights == 256) return 3 * 256;
    return info.block_weights == 32 ? info.tile_columns * 2 + 96 : 203;
  }

  // The matrix's pages in shuffled slots, and a table that finds them.
  uint64_t PlacePages(const TestMatrix& matrix, uint32_t seed) {
    const uint64_t count = matrix.layout.page_count;
    std::vector<uint64_t> slots(count);
    std::iota(slots.begin(), slots.end(), 0u);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(seed));
    uint64_t pool = 0;
    const auto pages = Shared<std::byte>(count * kPageBytes, pool);
    std::vector<uint64_t> table(count);
    for (uint64_t page = 0; page < count; ++page) {
      std::memcpy(pages.data() + slots[page] * kPageBytes, matrix.pages.data() + page * kPageBytes,
                  kPageBytes);
      table[page] = pool + slots[page] * kPageBytes;
    }
    return Upload(std::span<const uint64_t>(table));
  }

  // x in rows of a stride, with numbers between them that no kernel may take for values.
  uint64_t UploadX(std::span<const float> values, uint32_t columns, uint32_t stride) {
    std::vector<float> rows(values.size() / columns * stride, NAN);
    for (size_t row = 0; row < values.size() / columns; ++row) {
      std::copy_n(values.begin() + static_cast<ptrdiff_t>(row * columns), columns,
                  rows.begin() + static_cast<ptrdiff_t>(row * stride));
    }
    return Upload(rows);
  }

  // Packs x, and makes `arguments` say so.
  Result<void> Pack(DeviceKernels& kernels, gpu::Commands& commands, uint32_t columns,
                    size_t row_count, MatMulArguments& arguments) {
    PackRowsArguments pack;
    pack.values = arguments.x;
    pack.columns = columns;
    pack.stride = arguments.x_stride;
    pack.units = static_cast<uint32_t>(DivCeil(columns, kPackedUnitColumns));
    arguments.x_stride = static_cast<uint32_t>(pack.units * kPackedUnitVectors);
    Shared<float>(row_count * arguments.x_stride * kPackedVectorBytes / sizeof(float), pack.rows);
    arguments.x = pack.rows;
    GS_TRY(kernels.PackRows(commands, static_cast<uint32_t>(row_count), pack));
    commands.Barrier();
    return {};
  }

  struct Split {
    uint32_t first_strip = 0;
    uint32_t strip_count = 0;
  };
  std::vector<float> Multiply(const TestMatrix& matrix, std::span<const float> x,
                              std::span<const Split> splits, uint32_t seed = 1,
                              std::vector<uint32_t> x_rows = {}) {
    const auto columns = static_cast<uint32_t>(matrix.layout.columns);
    const auto rows = static_cast<uint32_t>(matrix.layout.rows);
    MatMulArguments arguments;
    arguments.page_table = PlacePages(matrix, seed);
    arguments.x_stride = static_cast<uint32_t>(AlignUp(columns, 4)) + 4;
    arguments.x = UploadX(x, columns, arguments.x_stride);
    arguments.token_count =
        static_cast<uint32_t>(x_rows.empty() ? x.size() / columns : x_rows.size());
    if (!x_rows.empty()) arguments.x_rows = Upload(x_rows);
    arguments.y_stride = rows;
    const auto y = Shared<float>(size_t{arguments.token_count} * rows, arguments.y);
    std::ranges::fill(y, kUntouched);
    DeviceKernels& kernels = Kernels();
    Execute([&](gpu::Commands& commands) -> Result<void> {
      if (kernels.UsesIntegerDot(type())) {
        GS_TRY(Pack(kernels, commands, columns, x.size() / columns, arguments));
      }
      for (const Split& split : splits) {
        GS_TRY(kernels.MatMul(commands, DescribeMatrix(matrix.layout, 0), split.first_strip,
                              split.strip_count, arguments));
      }
      return {};
    });
    return {y.begin(), y.end()};
  }
  std::vector<float> Multiply(const TestMatrix& matrix, std::span<const float> x) {
    const Split all = {0, static_cast<uint32_t>(matrix.layout.strip_count())};
    return Multiply(matrix, x, {&all, 1});
  }
};

// The error of f32 products and sums, in units of their own rounding; packed activations are exact
// to 2^-15 of the largest near them.
void ExpectAccurate(const TestMatrix& matrix, std::span<const float> x, std::span<const float> y,
                    bool packed = false) {
  const uint64_t rows = matrix.layout.rows;
  const uint64_t columns = matrix.layout.columns;
  double largest = 0;
  for (const float value : x) largest = std::max(largest, std::abs(double{value}));
  for (size_t token = 0; token < x.size() / columns; ++token) {
    for (uint64_t row = 0; row < rows; ++row) {
      double sum = 0;
      double magnitude = 0;
      double packing = 0;
      for (uint64_t c = 0; c < columns; ++c) {
        const double product =
            double{matrix.weights[row * columns + c]} * double{x[token * columns + c]};
        sum += product;
        magnitude += std::abs(product);
        packing += std::abs(double{matrix.weights[row * columns + c]});
      }
      const double limit = magnitude * 4e-7 + (packed ? packing * largest * 3e-5 : 0);
      ASSERT_NEAR(double{y[token * rows + row]}, sum, limit)
          << "token " << token << ", row " << row;
    }
  }
}

// What holds for every tuning.
TEST_P(DeviceMatMulTest, AgreesWithExactWeightsOnOddShapesAndBatches) {
  const uint32_t tile_rows = GetTensorType(type()).tile_rows;
  for (const uint32_t rows : {1u, 2 * tile_rows + 5}) {
    for (const uint32_t token_count : {1u, 3u, 17u}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << token_count << " tokens");
      const TestMatrix matrix = RandomMatrix(type(), rows, OddColumns(), rows);
      const auto x = RandomActivations(token_count, OddColumns(), token_count);
      ExpectAccurate(matrix, x, Multiply(matrix, x), packs());
    }
  }
}

TEST_P(DeviceMatMulTest, ResultsDependNeitherOnBatchNorPlaceNorSplit) {
  const TestMatrix matrix = RandomMatrix(type(), 70, OddColumns(), 1);
  const uint32_t columns = OddColumns();
  const auto x = RandomActivations(11, columns, 2);
  const auto all = Multiply(matrix, x);
  const auto strips = static_cast<uint32_t>(matrix.layout.strip_count());
  const std::vector<Split> splits = {{1, strips - 1}, {0, 1}};
  EXPECT_EQ(Multiply(matrix, x, splits, 7), all);
  for (const uint32_t token : {0u, 7u, 10u}) {
    const auto one = Multiply(matrix, std::span(x).subspan(size_t{token} * columns, columns));
    EXPECT_EQ(0, std::memcmp(one.data(), all.data() + size_t{token} * 70, 70 * sizeof(float)))
        << token;
  }
}

// What has nothing to do with it.
class DeviceMatMulShapeTest : public DeviceMatMulTest {};

TEST_P(DeviceMatMulShapeTest, WorksForOtherTileShapes) {
  const TensorTypeInfo& info = GetTensorType(type());
  const uint32_t columns = std::max(info.block_weights, 32u);
  const uint32_t row_bytes = columns / info.block_weights * info.block_bytes;
  const uint32_t tallest = std::min(kMaxTileRows, kPageContentBytes / row_bytes);
  for (const uint32_t tile_rows : {1u, 7u, tallest}) {
    SCOPED_TRACE(tile_rows);
    const TestMatrix matrix =
        RandomMatrix(type(), 2 * tile_rows + 1, columns, 9, tile_rows, columns);
    const auto x = RandomActivations(2, columns, 5);
    ExpectAccurate(matrix, x, Multiply(matrix, x), packs());
  }
}

TEST_P(DeviceMatMulShapeTest, AStripWritesItsOwnRowsOnly) {
  const uint32_t tile_rows = GetTensorType(type()).tile_rows;
  const TestMatrix matrix = RandomMatrix(type(), 3 * tile_rows, OddColumns(), 5);
  const auto x = RandomActivations(2, OddColumns(), 6);
  const std::vector<Split> middle = {{1, 1}};
  const auto y = Multiply(matrix, x, middle);
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t row = i % (3 * tile_rows);
    ASSERT_EQ(y[i] == kUntouched, row < tile_rows || row >= 2 * tile_rows) << row;
  }
}

TEST_P(DeviceMatMulShapeTest, TokensCanBeChosenInAnyOrder) {
  const TestMatrix matrix = RandomMatrix(type(), 40, OddColumns(), 3);
  const auto x = RandomActivations(6, OddColumns(), 4);
  const auto all = Multiply(matrix, x);
  const std::vector<uint32_t> rows = {5, 1, 1, 0};
  const Split whole = {0, static_cast<uint32_t>(matrix.layout.strip_count())};
  const auto some = Multiply(matrix, x, {&whole, 1}, 1, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(0, std::memcmp(some.data() + i * 40, all.data() + size_t{rows[i]} * 40,
                             40 * sizeof(float)));
  }
}

TEST_P(DeviceMatMulShapeTest, ExtremeScalesStayAccurate) {
  if (type() == TensorType::kMXFP4) GTEST_SKIP() << "its scales are powers of two";
  for (const float magnitude : {1e-6f, 6000.0f}) {
    SCOPED_TRACE(magnitude);
    const uint64_t blocks = uint64_t{40} * OddColumns() / GetTensorType(type()).block_weights;
    const TestMatrix matrix =
        MakeMatrix(type(), 40, OddColumns(), RandomBlocks(type(), blocks, 7, magnitude));
    const auto x = RandomActivations(1, OddColumns(), 8);
    ExpectAccurate(matrix, x, Multiply(matrix, x), packs());
  }
}

TEST_P(DeviceMatMulShapeTest, GatheredRowsAreTheWeights) {
  const uint32_t columns = OddColumns();
  const uint32_t rows = 90;
  const TestMatrix tiles = RandomMatrix(type(), rows, columns, 4);
  TestMatrix lines = tiles;
  const uint64_t shape[] = {columns, rows};
  lines.layout = MakeTensorLayout(type(), shape, 1, MemoryLayout::kRowMajor, 0, 0).value();
  lines.pages = PackMatrix(lines.layout, lines.source);
  const std::vector<uint32_t> tokens = {89, 0, 31, 31, 50};
  for (const TestMatrix* matrix : std::initializer_list<const TestMatrix*>{&tiles, &lines}) {
    SCOPED_TRACE(MemoryLayoutName(matrix->layout.layout));
    const TensorLayout& layout = matrix->layout;
    const uint64_t row_blocks = columns / GetTensorType(type()).block_weights;
    std::vector<uint32_t> places;
    for (const uint32_t token : tokens) {
      places.push_back(static_cast<uint32_t>(GetRowPages(layout, 0, token).first_page));
      places.push_back(layout.layout == MemoryLayout::kRowMajor
                           ? static_cast<uint32_t>(token * row_blocks % layout.blocks_per_page())
                           : token % layout.tile_rows);
    }
    GatherArguments arguments;
    arguments.page_table = PlacePages(*matrix, 3);
    arguments.places = Upload(places);
    arguments.columns = columns;
    arguments.stride = columns + 3;
    const auto values = Shared<float>(tokens.size() * arguments.stride, arguments.values);
    std::ranges::fill(values, kUntouched);
    DeviceKernels& kernels = Kernels();
    arguments.first_token = 1;
    Execute([&](gpu::Commands& commands) {
      return kernels.Gather(commands, layout, static_cast<uint32_t>(tokens.size()) - 1, arguments);
    });
    EXPECT_EQ(values[0], kUntouched);  // before first_token
    const float largest = *std::ranges::max_element(matrix->weights, {},
                                                    [](float weight) { return std::abs(weight); });
    for (size_t i = 1; i < tokens.size(); ++i) {
      for (size_t c = 0; c < columns; ++c) {
        const float expected = matrix->weights[tokens[i] * columns + c];
        ASSERT_NEAR(values[i * arguments.stride + c], expected, std::abs(largest) * 1e-6)
            << "token " << tokens[i] << ", column " << c;
      }
    }
  }
}

std::vector<MatMulCase> EveryType() {
  std::vector<MatMulCase> cases;
  for (const TensorType type : kMatMulTypes) cases.push_back({type, std::nullopt});
  return cases;
}

// Workgroups as graphics processors of several widths get them, and integer dot products; a type or
// two of each kind of block with the wide ones.
std::vector<MatMulCase> EveryTuning() {
  std::vector<MatMulCase> cases;
  for (const TensorType type : kMatMulTypes) {
    if (GetTensorType(type).block_weights > 1)
      cases.push_back({type, KernelTuning{8, false, true}});
    cases.push_back({type, KernelTuning{32, true, false}});
  }
  for (const TensorType type : {TensorType::kF32, TensorType::kQ8_0, TensorType::kQ4_K}) {
    cases.push_back({type, KernelTuning{8, true, false}});
    cases.push_back({type, KernelTuning{64, true, false}});
  }
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ4_K, TensorType::kQ6_K}) {
    cases.push_back({type, KernelTuning{32, true, true}});
    cases.push_back({type, KernelTuning{64, true, true}});
  }
  return cases;
}

std::string NameOf(const MatMulCase& test) {
  std::string name(TensorTypeName(test.type));
  if (!test.tuning) return name;
  name += test.tuning->wide_groups ? "_wide" : "_narrow";
  name += std::to_string(test.tuning->subgroup_size);
  return name + (test.tuning->integer_dot ? "_integer" : "");
}

INSTANTIATE_TEST_SUITE_P(Types, DeviceMatMulTest, ::testing::ValuesIn(EveryType()),
                         [](const auto& test) { return NameOf(test.param); });
INSTANTIATE_TEST_SUITE_P(Tunings, DeviceMatMulTest, ::testing::ValuesIn(EveryTuning()),
                         [](const auto& test) { return NameOf(test.param); });
INSTANTIATE_TEST_SUITE_P(Types, DeviceMatMulShapeTest, ::testing::ValuesIn(EveryType()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace gguf_shard
