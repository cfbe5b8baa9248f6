// Wide instructions give the same bits as plain code: patches and models do not depend on the
// processor.
#include "delta/wide.h"

#include <gtest/gtest.h>

#include <random>

#include "delta/frame_codec.h"
#include "delta/quant_codec.h"
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

// Frequencies are multiples of 2^shift.
Stream MakeStream(size_t count, uint32_t shift) {
  Stream stream;
  stream.tables.resize(3);
  stream.tables[0][7] = 4096;
  stream.tables[1][0] = static_cast<uint16_t>(1 << shift);
  stream.tables[1][255] = static_cast<uint16_t>(4096 - (1 << shift));
  const uint32_t used = 200 >> shift;
  for (size_t s = 0; s < used; ++s) {
    stream.tables[2][s] = static_cast<uint16_t>(4096 / used >> shift << shift);
  }
  stream.tables[2][0] =
      static_cast<uint16_t>(stream.tables[2][0] + 4096 - stream.tables[2][1] * used);
  std::mt19937 random(static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const auto context = static_cast<uint16_t>(random() % 4);
    const auto any = static_cast<uint8_t>(random() % used);
    const uint8_t rare = random() % 50 == 0 ? 0 : 255;
    stream.contexts.push_back(context);
    stream.symbols.push_back(context == 0 ? 7 : context == 2 ? any : rare);
  }
  return stream;
}

std::vector<uint8_t> DecodeInPieces(const Stream& stream, uint32_t shift, const Bytes& bytes,
                                    size_t piece) {
  const uint32_t table_slots = kProbabilityScale >> shift;
  std::vector<RansSlot> slots(stream.tables.size() * table_slots);
  for (size_t t = 0; t < stream.tables.size(); ++t) {
    BuildSlots(stream.tables[t], shift, std::span(slots).subspan(t * table_slots, table_slots));
  }
  std::vector<uint32_t> first_slot;
  for (const uint8_t table : stream.table_of_context) first_slot.push_back(table * table_slots);
  auto decoder = RansDecoder::Create(bytes, {slots, first_slot, shift}, kMaxLanes);
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
    const auto shift = static_cast<uint32_t>(count % 3);
    const Stream stream = MakeStream(count, shift);
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
        EXPECT_EQ(DecodeInPieces(stream, shift, plain, piece), stream.symbols) << piece;
        EXPECT_EQ(DecodeInPieces(stream, 0, plain, piece), stream.symbols) << piece;
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
      Row<int32_t> ratios_to_one;
      FixedRatios(a, b, kRowScales, kMaxOffset, ratios);
      FixedRatiosTo(a, b[0], kRowScales, kMaxOffset, ratios_to_one);
      ScaleLevels(a, levels);
      for (uint32_t i = 0; i < kRowScales; ++i) {
        ASSERT_EQ(ratios[i], FixedRatio(a[i], b[i], kMaxOffset))
            << a.mantissa[i] << " " << b.mantissa[i];
        ASSERT_EQ(ratios_to_one[i], FixedRatio(a[i], b[0], kMaxOffset)) << a.mantissa[i];
        ASSERT_EQ(levels[i], ScaleLevel(a[i])) << a.mantissa[i];
      }
    }
  }
}

Bytes MakeBase(TensorType type, size_t weights) {
  const TensorTypeInfo& info = GetTensorType(type);
  std::mt19937_64 random(static_cast<uint64_t>(type) + 1);
  Bytes base(weights / info.block_weights * info.block_bytes);
  for (std::byte& byte : base) byte = static_cast<std::byte>(random());
  return base;
}

// A base and a target near it, any bits in between.
std::pair<Bytes, Bytes> MakeBlocks(TensorType type, size_t weights) {
  std::mt19937_64 random(static_cast<uint64_t>(type) + 2);
  const Bytes base = MakeBase(type, weights);
  Bytes target = base;
  for (std::byte& byte : target) {
    if (random() % 3 == 0) byte ^= static_cast<std::byte>(1u << random() % 8);
  }
  return {base, target};
}

void ExpectSameAtAllWidths(const FrameTypes& types, const Bytes& target, const Bytes& base) {
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

TEST_F(WideCode, EveryCodecGivesTheSamePayloadAndTarget) {
  for (const TensorTypeInfo& info : AllTensorTypes()) {
    const bool is_float = info.type == TensorType::kF32 || info.type == TensorType::kF16 ||
                          info.type == TensorType::kBF16;
    if (!is_float && FindQuantFormat(info.type) == nullptr) continue;
    SCOPED_TRACE(TensorTypeName(info.type));
    const auto [base, target] = MakeBlocks(info.type, 256 * 80);
    ExpectSameAtAllWidths({info.type, info.type}, target, base);
  }
}

// Units of 16 and of 32 weights on either side, and a base of floats.
TEST_F(WideCode, QuantsOfAnotherTypesBaseAreTheSame) {
  for (const TensorType target_type : {TensorType::kQ4_K, TensorType::kQ6_K, TensorType::kQ8_0}) {
    const Bytes target = MakeBase(target_type, 256 * 80);
    for (const TensorType base_type :
         {TensorType::kQ5_0, TensorType::kQ3_K, TensorType::kQ5_K, TensorType::kF16}) {
      const Bytes base = MakeBase(base_type, 256 * 80);
      const WeightSpan weights{target_type, base_type, 256 * 80};
      LimitWide(Wide::kNone);
      const Bytes plain = QuantEncode(weights, target, base, 24);
      for (const Wide wide : kAllWidths) {
        SCOPED_TRACE(testing::Message()
                     << TensorTypeName(target_type) << " given " << TensorTypeName(base_type)
                     << ", width " << static_cast<int>(wide));
        LimitWide(wide);
        EXPECT_EQ(QuantEncode(weights, target, base, 24), plain);
        Bytes decoded(target.size());
        ASSERT_TRUE(QuantDecode(weights, plain, base, decoded));
        EXPECT_EQ(decoded, target);
      }
    }
  }
}

}  // namespace
}  // namespace gguf_shard
