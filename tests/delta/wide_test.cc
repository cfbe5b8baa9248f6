// Wide instructions give the same bits as plain code: patches and models do not depend on the
// processor.
#include "delta/wide.h"

#include <gtest/gtest.h>

#include <random>

#include "delta/frame_codec.h"
#include "delta/quant_group.h"
#include "delta/rans.h"
#include "delta/scale_row.h"

namespace gguf_shard {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::array kAllWidths = {Wide::kNone, Wide::kAvx2, Wide::kAvx512};

class WideCode : public testing::Test {
 protected:
  ~WideCode() override { LimitWide(Wide::kAvx512); }
};

// Symbols of very different frequencies, 1 and 4096 among them, under several contexts.
struct Stream {
  std::vector<uint8_t> symbols;
  std::vector<uint16_t> contexts;
  std::vector<uint8_t> table_of_context = {0, 1, 2, 1};
  std::vector<FrequencyTable> tables;
};

Stream MakeStream(size_t count) {
  Stream stream;
  stream.tables.resize(3);
  stream.tables[0][7] = 4096;
  stream.tables[1][0] = 1;
  stream.tables[1][255] = 4095;
  for (size_t s = 0; s < 200; ++s) stream.tables[2][s] = static_cast<uint16_t>(s < 96 ? 21 : 20);
  std::mt19937 random(static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const auto context = static_cast<uint16_t>(random() % 4);
    const auto any = static_cast<uint8_t>(random() % 200);
    const uint8_t rare = random() % 50 == 0 ? 0 : 255;
    stream.contexts.push_back(context);
    stream.symbols.push_back(context == 0 ? 7 : context == 2 ? any : rare);
  }
  return stream;
}

std::vector<uint8_t> DecodeInPieces(const Stream& stream, const Bytes& bytes, size_t piece) {
  std::vector<RansSlot> slots(stream.tables.size() * kProbabilityScale);
  for (size_t t = 0; t < stream.tables.size(); ++t) {
    BuildSlots(stream.tables[t],
               std::span(slots).subspan(t * kProbabilityScale).first<kProbabilityScale>());
  }
  std::vector<uint32_t> first_slot;
  for (const uint8_t table : stream.table_of_context) {
    first_slot.push_back(table * kProbabilityScale);
  }
  auto decoder = RansDecoder::Create(bytes, slots, first_slot, kMaxLanes);
  EXPECT_TRUE(decoder);
  std::vector<uint8_t> symbols(stream.symbols.size());
  for (size_t i = 0; i < symbols.size(); i += piece) {
    decoder->Decode(stream.contexts.data() + i, std::min(piece, symbols.size() - i),
                    symbols.data() + i);
  }
  EXPECT_TRUE(decoder->Finish());
  return symbols;
}

TEST_F(WideCode, EntropyCoderGivesTheSameBitsAndSymbols) {
  for (const size_t count : {31u, 32u, 1000u, 4096u, 20011u}) {
    const Stream stream = MakeStream(count);
    LimitWide(Wide::kNone);
    const Bytes plain = RansEncode(stream.symbols, stream.contexts, stream.table_of_context,
                                   stream.tables, kMaxLanes);
    for (const Wide wide : kAllWidths) {
      SCOPED_TRACE(testing::Message() << count << " symbols, width " << static_cast<int>(wide));
      LimitWide(wide);
      EXPECT_EQ(RansEncode(stream.symbols, stream.contexts, stream.table_of_context, stream.tables,
                           kMaxLanes),
                plain);
      for (const size_t piece : {1u, 8u, 16u, 24u, 32u, 250u, 256u}) {
        EXPECT_EQ(DecodeInPieces(stream, plain, piece), stream.symbols) << piece;
      }
    }
  }
}

// Mantissas of all sizes, exponents whose differences reach beyond every limit.
ScaleRow MakeScales(std::mt19937& random) {
  ScaleRow row;
  for (uint32_t i = 0; i < kRowScales; ++i) {
    const auto magnitude = static_cast<int64_t>(random() % (1u << 24) >> random() % 25);
    row.Set(i,
            {random() % 2 == 0 ? magnitude : -magnitude, static_cast<int32_t>(random() % 90) - 45});
  }
  return row;
}

TEST_F(WideCode, RowsOfScalesAreTheScalesOneByOne) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    const ScaleRow a = MakeScales(random);
    const ScaleRow b = MakeScales(random);
    for (const Wide wide : kAllWidths) {
      LimitWide(wide);
      Row<int32_t> ratios;
      Row<int32_t> levels;
      FixedRatios(a, b, kRowScales, kMaxOffset, ratios);
      ScaleLevels(a, levels);
      for (uint32_t i = 0; i < kRowScales; ++i) {
        ASSERT_EQ(ratios[i], FixedRatio(a[i], b[i], kMaxOffset))
            << a.mantissa[i] << " " << b.mantissa[i];
        ASSERT_EQ(levels[i], ScaleLevel(a[i])) << a.mantissa[i];
      }
    }
  }
}

// A base and a target near it, any bits in between.
std::pair<Bytes, Bytes> MakeBlocks(TensorType type, size_t weights) {
  const TensorTypeInfo& info = GetTensorType(type);
  std::mt19937_64 random(static_cast<uint64_t>(type) + 1);
  Bytes base(weights / info.block_weights * info.block_bytes);
  for (std::byte& byte : base) byte = static_cast<std::byte>(random());
  Bytes target = base;
  for (std::byte& byte : target) {
    if (random() % 3 == 0) byte ^= static_cast<std::byte>(1u << random() % 8);
  }
  return {base, target};
}

TEST_F(WideCode, EveryCodecGivesTheSamePayloadAndTarget) {
  for (const TensorTypeInfo& info : AllTensorTypes()) {
    const bool is_float = info.type == TensorType::kF32 || info.type == TensorType::kF16 ||
                          info.type == TensorType::kBF16;
    if (!is_float && FindQuantFormat(info.type) == nullptr) continue;
    SCOPED_TRACE(TensorTypeName(info.type));
    const auto [base, target] = MakeBlocks(info.type, 256 * 80);
    const FrameTypes types{info.type, info.type};
    LimitWide(Wide::kNone);
    const EncodedFrame plain = EncodeFrame(types, target, base, DeltaLevel::kDefault);
    for (const Wide wide : kAllWidths) {
      LimitWide(wide);
      const EncodedFrame frame = EncodeFrame(types, target, base, DeltaLevel::kDefault);
      EXPECT_EQ(frame.method, plain.method);
      EXPECT_EQ(frame.payload, plain.payload);
      Bytes decoded(target.size());
      ASSERT_TRUE(DecodeFrame(plain.method, types, plain.payload, base, decoded));
      EXPECT_EQ(decoded, target);
    }
  }
}

}  // namespace
}  // namespace gguf_shard
