#include "delta/float_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "delta/stream_set.h"

namespace gguf_shard {
namespace {

enum Stream : uint32_t { kNoise, kValue, kSign, kStreamCount };

constexpr uint32_t kGroupValues = 256;
constexpr uint32_t kNoiseContexts = 64;  // noise symbol of the group before / 4
constexpr int32_t kNoiseBias = 160;
constexpr int32_t kLevels = 64;
constexpr int32_t kLevelShift = 12;
constexpr int32_t kSmallLevels = 10;  // levels below: the base's value says little but its sign
constexpr uint32_t kValueContexts = 4 * kLevels + kSmallLevels + 1;
constexpr std::array<uint32_t, kStreamCount> kContextCounts = {kNoiseContexts, kValueContexts,
                                                               kValueContexts};

template <typename BitsType, uint32_t kMantissa>
struct FloatFormat {
  using Bits = BitsType;
  static constexpr uint32_t kMantissaBits = kMantissa;
  static constexpr uint32_t kBits = sizeof(Bits) * 8;
  static constexpr uint32_t kMagnitudeMask = (1u << (kBits - 1)) - 1;
  static constexpr int32_t kExponentBias = (1 << (kBits - 2 - kMantissa)) - 1;
  // Symbols have no room for the sign next to 31-bit differences.
  static constexpr bool kSignApart = sizeof(Bits) == 4;
};
using F32 = FloatFormat<uint32_t, 23>;
using F16 = FloatFormat<uint16_t, 10>;
using Bf16 = FloatFormat<uint16_t, 7>;

template <typename Format>
double ToDouble(uint32_t bits) {
  const uint32_t magnitude = bits & Format::kMagnitudeMask;
  const auto exponent = static_cast<int32_t>(magnitude >> Format::kMantissaBits);
  const auto fraction = static_cast<int32_t>(magnitude & ((1u << Format::kMantissaBits) - 1));
  const int32_t mantissa = exponent == 0 ? fraction : fraction + (1 << Format::kMantissaBits);
  const double value = std::ldexp(mantissa, std::max(exponent, 1) - Format::kExponentBias -
                                                static_cast<int32_t>(Format::kMantissaBits));
  return magnitude != bits ? -value : value;
}

// What a value is predicted from: a magnitude, and the context of the difference to it.
struct Prediction {
  uint32_t magnitude;
  uint16_t context;
};

// The predictions of a group: they depend on the base's magnitude and on the group's noise.
template <typename Format>
class Predictor {
 public:
  explicit Predictor(uint8_t noise) : noise_(noise) {
    // The magnitude of 2^(half octaves / 2): what is expected where the base is next to nothing.
    const int32_t half_octaves = noise - kNoiseBias;
    const int32_t exponent = (half_octaves >> 1) + Format::kExponentBias;
    constexpr uint32_t kSqrtHalfFraction = 0x3504F3;  // 23 bits of sqrt(2) - 1
    const uint32_t fraction =
        (half_octaves & 1) != 0 ? kSqrtHalfFraction >> (23 - Format::kMantissaBits) : 0;
    small_magnitude_ =
        exponent <= 0
            ? 0
            : std::min((static_cast<uint32_t>(exponent) << Format::kMantissaBits) | fraction,
                       Format::kMagnitudeMask);
  }

  Prediction Predict(uint32_t base_bits) const {
    const uint32_t magnitude = base_bits & Format::kMagnitudeMask;
    if (magnitude == 0) return {small_magnitude_, 4 * kLevels};
    const auto exponent = static_cast<int32_t>(magnitude >> Format::kMantissaBits);
    const int32_t level = std::clamp(
        2 * (exponent - Format::kExponentBias) + kNoiseBias - noise_ + kLevelShift, 0, kLevels - 1);
    if (level < kSmallLevels) {
      return {small_magnitude_, static_cast<uint16_t>(4 * kLevels + 1 + level)};
    }
    const uint32_t quarter = magnitude >> (Format::kMantissaBits - 2) & 3;
    return {magnitude, static_cast<uint16_t>(static_cast<uint32_t>(level) * 4 + quarter)};
  }

 private:
  int32_t noise_;
  uint32_t small_magnitude_;
};

template <typename Format, typename Streams>
class ValueCoder {
 public:
  explicit ValueCoder(Streams& streams) : streams_(streams) {}

  uint8_t CodeNoise(uint8_t noise) {
    const auto context = static_cast<uint16_t>(last_noise_ / 4);
    last_noise_ = streams_.Code(kNoise, context, noise);
    return last_noise_;
  }

  // A group: `count` values.
  void CodeValues(const std::byte* base, std::byte* target, size_t count) {
    using Bits = typename Format::Bits;
    const Predictor<Format> predictor(last_noise_);
    for (size_t i = 0; i < count; ++i) {
      const Prediction prediction = predictor.Predict(LoadLe<Bits>(base + i * sizeof(Bits)));
      predicted_[i] = prediction.magnitude;
      contexts_[i] = prediction.context;
    }
    if constexpr (!Streams::kReads) MakeSymbols(base, target, count);
    streams_.CodeMany(kValue, contexts_.data(), count, symbols_.data());
    if constexpr (Format::kSignApart) {
      streams_.CodeMany(kSign, contexts_.data(), count, flips_.data());
    }
    for (size_t i = 0; i < count; ++i) {
      const auto base_bits = uint32_t{LoadLe<Bits>(base + i * sizeof(Bits))};
      StoreLe(target + i * sizeof(Bits),
              static_cast<Bits>(CodeRaw(i, base_bits, LoadLe<Bits>(target + i * sizeof(Bits)))));
    }
  }

 private:
  static constexpr uint32_t kSignShift = Format::kBits - 1;

  int64_t Difference(size_t i, uint32_t bits) const {
    return static_cast<int64_t>(bits & Format::kMagnitudeMask) - predicted_[i];
  }

  void MakeSymbols(const std::byte* base, const std::byte* target, size_t count) {
    using Bits = typename Format::Bits;
    for (size_t i = 0; i < count; ++i) {
      const uint32_t bits = LoadLe<Bits>(target + i * sizeof(Bits));
      const uint32_t base_bits = LoadLe<Bits>(base + i * sizeof(Bits));
      const auto flip = static_cast<uint8_t>((bits ^ base_bits) >> kSignShift);
      const uint8_t symbol = SignedSymbol(Difference(i, bits));
      symbols_[i] = Format::kSignApart ? symbol : static_cast<uint8_t>(2 * symbol + flip);
      flips_[i] = flip;
    }
  }

  // The value from its symbols and raw bits.
  uint32_t CodeRaw(size_t i, uint32_t base_bits, uint32_t target_bits) {
    const auto symbol = static_cast<uint8_t>(Format::kSignApart ? symbols_[i] : symbols_[i] >> 1);
    const uint32_t flip = Format::kSignApart ? flips_[i] & 1 : symbols_[i] & 1;
    uint32_t magnitude = SymbolToken(symbol);
    if (magnitude >= kDirectTokens) {
      const int64_t difference = Difference(i, target_bits);
      magnitude = streams_.CodeMagnitude(
          magnitude, static_cast<uint32_t>(difference < 0 ? -difference : difference));
    }
    const uint32_t sum = predicted_[i] + ((symbol & 1) != 0 ? magnitude : 0u - magnitude);
    return (sum & Format::kMagnitudeMask) | ((base_bits >> kSignShift ^ flip) << kSignShift);
  }

  Streams& streams_;
  uint8_t last_noise_ = 0;
  std::array<uint32_t, kGroupValues> predicted_{};
  std::array<uint16_t, kGroupValues> contexts_{};
  std::array<uint8_t, kGroupValues> symbols_{};
  std::array<uint8_t, kGroupValues> flips_{};
};

// The level of the mean absolute difference, 1..255; written to the frame, so floating point does
// no harm.
template <typename Format>
uint8_t MeasureNoise(const std::byte* base, const std::byte* target, size_t count) {
  using Bits = typename Format::Bits;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    sum += std::abs(ToDouble<Format>(LoadLe<Bits>(target + i * sizeof(Bits))) -
                    ToDouble<Format>(LoadLe<Bits>(base + i * sizeof(Bits))));
  }
  if (!(sum > 0)) return 1;
  const double level = std::floor(2 * std::log2(sum / static_cast<double>(count)) + 0.5);
  return static_cast<uint8_t>(std::clamp(level + kNoiseBias, 1.0, 255.0));
}

template <typename Format>
std::vector<std::byte> Encode(std::span<const std::byte> target, std::span<const std::byte> base,
                              uint32_t max_tables) {
  constexpr size_t kValueBytes = sizeof(typename Format::Bits);
  StreamWriter streams(kContextCounts);
  ValueCoder<Format, StreamWriter> coder(streams);
  std::array<std::byte, kGroupValues * kValueBytes> group;
  for (size_t first = 0; first < target.size(); first += group.size()) {
    const size_t bytes = std::min(group.size(), target.size() - first);
    std::memcpy(group.data(), target.data() + first, bytes);
    if (std::memcmp(group.data(), base.data() + first, bytes) == 0) {
      coder.CodeNoise(0);
      continue;
    }
    const size_t count = bytes / kValueBytes;
    coder.CodeNoise(MeasureNoise<Format>(base.data() + first, group.data(), count));
    coder.CodeValues(base.data() + first, group.data(), count);
  }
  return streams.Finish(max_tables);
}

template <typename Format>
Result<void> Decode(std::span<const std::byte> payload, std::span<const std::byte> base,
                    std::span<std::byte> target) {
  constexpr size_t kValueBytes = sizeof(typename Format::Bits);
  GS_ASSIGN(StreamReader streams, StreamReader::Create(kContextCounts, payload));
  ValueCoder<Format, StreamReader> coder(streams);
  for (size_t first = 0; first < target.size(); first += kGroupValues * kValueBytes) {
    const size_t bytes = std::min(kGroupValues * kValueBytes, target.size() - first);
    if (coder.CodeNoise(0) == 0) {
      std::memcpy(target.data() + first, base.data() + first, bytes);
    } else {
      coder.CodeValues(base.data() + first, target.data() + first, bytes / kValueBytes);
    }
  }
  return streams.Finish();
}

}  // namespace

bool CanFloatCode(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

std::vector<std::byte> FloatEncode(TensorType type, std::span<const std::byte> target,
                                   std::span<const std::byte> base, uint32_t max_tables) {
  GS_CHECK(CanFloatCode(type) && target.size() == base.size());
  if (type == TensorType::kF32) return Encode<F32>(target, base, max_tables);
  if (type == TensorType::kF16) return Encode<F16>(target, base, max_tables);
  return Encode<Bf16>(target, base, max_tables);
}

Result<void> FloatDecode(TensorType type, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target) {
  GS_CHECK(CanFloatCode(type) && target.size() == base.size());
  if (type == TensorType::kF32) return Decode<F32>(payload, base, target);
  if (type == TensorType::kF16) return Decode<F16>(payload, base, target);
  return Decode<Bf16>(payload, base, target);
}

}  // namespace gguf_shard
