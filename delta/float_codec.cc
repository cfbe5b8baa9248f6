#include "delta/float_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "delta/base_view.h"
#include "delta/stream_set.h"
#include "delta/wide.h"

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

// A finite value as float; infinities and NaNs as any value.
template <typename Format>
GS_WIDE inline float ToFloat(uint32_t bits) {
  if constexpr (Format::kMantissaBits == 10) {
    // The bits of a float 2^112 times smaller.
    const uint32_t magnitude = (bits & Format::kMagnitudeMask) << 13;
    return std::bit_cast<float>(magnitude | (bits & 0x8000) << 16) * 0x1p112F;
  }
  return std::bit_cast<float>(bits << (32 - Format::kBits));
}

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

  // A magnitude, and the context of the difference to it.
  GS_WIDE void Predict(uint32_t base_bits, uint32_t& predicted, uint16_t& context) const {
    const uint32_t magnitude = base_bits & Format::kMagnitudeMask;
    const auto exponent = static_cast<int32_t>(magnitude >> Format::kMantissaBits);
    const int32_t level = std::min(
        std::max(2 * (exponent - Format::kExponentBias) + kNoiseBias - noise_ + kLevelShift, 0),
        kLevels - 1);
    const auto quarter = static_cast<int32_t>(magnitude >> (Format::kMantissaBits - 2) & 3);
    const bool is_small = level < kSmallLevels || magnitude == 0;
    const int32_t small_context = magnitude == 0 ? 4 * kLevels : 4 * kLevels + 1 + level;
    predicted = is_small ? small_magnitude_ : magnitude;
    context = static_cast<uint16_t>(is_small ? small_context : level * 4 + quarter);
  }

 private:
  int32_t noise_;
  uint32_t small_magnitude_;
};

// SignedSymbol without a branch, for differences below 2^24.
GS_WIDE inline uint32_t SignedSymbolOf(int32_t difference) {
  const auto magnitude = static_cast<uint32_t>(difference < 0 ? -difference : difference);
  // As a float: exponent and the two highest bits of the fraction are the token, but for a
  // constant.
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)));
  const uint32_t large = (bits >> 21) - (4 * (127 + 4) - kDirectTokens);
  const uint32_t token = magnitude < kDirectTokens ? magnitude : large;
  return magnitude == 0 ? 0 : 2 * token - (difference < 0 ? 0 : 1);
}

template <typename Format, typename Streams>
class ValueCoder {
 public:
  using Bits = typename Format::Bits;

  explicit ValueCoder(Streams& streams) : streams_(streams) {}

  uint8_t CodeNoise(uint8_t noise) {
    const auto context = static_cast<uint16_t>(last_noise_ / 4);
    last_noise_ = streams_.Code(kNoise, context, noise);
    return last_noise_;
  }

  // A group: `count` values. Reading writes `target`, writing reads it.
  void CodeValues(const Bits* base, Bits* target, size_t count) {
    Predict(base, count);
    if constexpr (!Streams::kReads) MakeSymbols(base, target, count);
    streams_.CodeMany(kValue, contexts_.data(), count, symbols_.data());
    if constexpr (Format::kSignApart) {
      streams_.CodeMany(kSign, contexts_.data(), count, flips_.data());
    }
    if constexpr (Streams::kReads) AddSmall(base, target, count);
    // Few values have raw bits: they are listed without a branch, then coded one by one.
    std::array<uint16_t, kGroupValues> raw;
    size_t raw_count = 0;
    for (size_t i = 0; i < count; ++i) {
      raw[raw_count] = static_cast<uint16_t>(i);
      raw_count += symbols_[i] >= kFirstRawSymbol ? 1 : 0;
    }
    for (size_t i = 0; i < raw_count; ++i) CodeRaw(raw[i], base[raw[i]], target[raw[i]]);
  }

 private:
  static constexpr uint32_t kSignShift = Format::kBits - 1;
  // Of values with a token that has raw bits.
  static constexpr uint32_t kFirstRawSymbol = (2 * kDirectTokens - 1)
                                              << (Format::kSignApart ? 0 : 1);

  void Predict(const Bits* base, size_t count) {
    const Predictor<Format> predictor(last_noise_);
    RunWide([&]() GS_WIDE {
      for (size_t i = 0; i < count; ++i) predictor.Predict(base[i], predicted_[i], contexts_[i]);
    });
  }

  void MakeSymbols(const Bits* base, const Bits* target, size_t count) {
    RunWide([&]() GS_WIDE {
      for (size_t i = 0; i < count; ++i) {
        const uint32_t flip = uint32_t{static_cast<Bits>(target[i] ^ base[i])} >> kSignShift;
        const auto difference =
            static_cast<int32_t>((target[i] & Format::kMagnitudeMask) - predicted_[i]);
        if constexpr (Format::kSignApart) {
          symbols_[i] = SignedSymbol(difference);
          flips_[i] = static_cast<uint8_t>(flip);
        } else {
          symbols_[i] = static_cast<uint8_t>(2 * SignedSymbolOf(difference) + flip);
        }
      }
    });
  }

  uint32_t ValueSymbol(size_t i) const {
    return Format::kSignApart ? symbols_[i] : symbols_[i] >> 1;
  }
  uint32_t Flip(size_t i) const { return (Format::kSignApart ? flips_[i] : symbols_[i]) & 1; }

  static uint32_t Join(uint32_t magnitude, uint32_t base_bits, uint32_t flip) {
    return (magnitude & Format::kMagnitudeMask) | ((base_bits >> kSignShift ^ flip) << kSignShift);
  }

  // All values as if their token were the magnitude of their difference: it is, where there are no
  // raw bits.
  void AddSmall(const Bits* base, Bits* target, size_t count) {
    RunWide([&]() GS_WIDE {
      for (size_t i = 0; i < count; ++i) {
        const uint32_t symbol = Format::kSignApart ? symbols_[i] : symbols_[i] >> 1;
        const uint32_t flip = (Format::kSignApart ? flips_[i] : symbols_[i]) & 1;
        const uint32_t token = (symbol + 1) >> 1;
        const uint32_t sum = predicted_[i] + ((symbol & 1) != 0 ? token : 0u - token);
        const uint32_t sign = uint32_t{base[i]} >> kSignShift ^ flip;
        target[i] = static_cast<Bits>((sum & Format::kMagnitudeMask) | sign << kSignShift);
      }
    });
  }

  // A value with raw bits.
  void CodeRaw(size_t i, Bits base, Bits& target) {
    const uint32_t symbol = ValueSymbol(i);
    const auto difference = static_cast<int32_t>((target & Format::kMagnitudeMask) - predicted_[i]);
    const uint32_t magnitude =
        streams_.CodeMagnitude(SymbolToken(static_cast<uint8_t>(symbol)),
                               static_cast<uint32_t>(difference < 0 ? -difference : difference));
    if constexpr (Streams::kReads) {
      const uint32_t sum = predicted_[i] + ((symbol & 1) != 0 ? magnitude : 0u - magnitude);
      target = static_cast<Bits>(Join(sum, base, Flip(i)));
    }
  }

  Streams& streams_;
  uint8_t last_noise_ = 0;
  alignas(64) std::array<uint32_t, kGroupValues> predicted_{};
  alignas(64) std::array<uint16_t, kGroupValues> contexts_{};
  alignas(64) std::array<uint8_t, kGroupValues> symbols_{};
  alignas(64) std::array<uint8_t, kGroupValues> flips_{};
};

// The level of the mean absolute difference, 1..255; written to the frame, so floating point does
// no harm. Sums have one order, so that every machine makes the same patch.
template <typename Format>
uint8_t MeasureNoise(const typename Format::Bits* base, const typename Format::Bits* target,
                     size_t count) {
  constexpr size_t kSums = 16;
  std::array<float, kSums> sums{};
  const size_t whole = count / kSums * kSums;
  RunWide([&]() GS_WIDE {
    for (size_t first = 0; first < whole; first += kSums) {
      for (size_t i = 0; i < kSums; ++i) {
        sums[i] += std::abs(ToFloat<Format>(target[first + i]) - ToFloat<Format>(base[first + i]));
      }
    }
  });
  for (size_t i = whole; i < count; ++i) {
    sums[i - whole] += std::abs(ToFloat<Format>(target[i]) - ToFloat<Format>(base[i]));
  }
  double sum = 0;
  for (const float part : sums) sum += static_cast<double>(part);
  if (!(sum > 0)) return 1;
  const double level = std::floor(2 * std::log2(sum / static_cast<double>(count)) + 0.5);
  return static_cast<uint8_t>(std::clamp(level + kNoiseBias, 1.0, 255.0));
}

template <typename Format>
std::vector<std::byte> Encode(std::span<const std::byte> target, std::span<const std::byte> base,
                              uint32_t max_tables) {
  using Bits = typename Format::Bits;
  StreamWriter streams(kContextCounts);
  streams.Reserve(kValue, target.size() / sizeof(Bits));
  ValueCoder<Format, StreamWriter> coder(streams);
  std::array<Bits, kGroupValues> target_group{};
  std::array<Bits, kGroupValues> base_group{};
  for (size_t first = 0; first < target.size(); first += sizeof(target_group)) {
    const size_t bytes = std::min(sizeof(target_group), target.size() - first);
    const size_t count = bytes / sizeof(Bits);
    std::memcpy(target_group.data(), target.data() + first, bytes);
    std::memcpy(base_group.data(), base.data() + first, bytes);
    if (std::memcmp(target_group.data(), base_group.data(), bytes) == 0) {
      coder.CodeNoise(0);
      continue;
    }
    coder.CodeNoise(MeasureNoise<Format>(base_group.data(), target_group.data(), count));
    coder.CodeValues(base_group.data(), target_group.data(), count);
  }
  return streams.Finish(max_tables);
}

template <typename Format>
Result<void> Decode(std::span<const std::byte> payload, std::span<const std::byte> base,
                    std::span<std::byte> target) {
  using Bits = typename Format::Bits;
  GS_ASSIGN(StreamReader streams, StreamReader::Create(kContextCounts, payload));
  ValueCoder<Format, StreamReader> coder(streams);
  std::array<Bits, kGroupValues> target_group{};
  std::array<Bits, kGroupValues> base_group{};
  for (size_t first = 0; first < target.size(); first += sizeof(target_group)) {
    const size_t bytes = std::min(sizeof(target_group), target.size() - first);
    if (coder.CodeNoise(0) == 0) {
      std::memcpy(target.data() + first, base.data() + first, bytes);
      continue;
    }
    std::memcpy(base_group.data(), base.data() + first, bytes);
    coder.CodeValues(base_group.data(), target_group.data(), bytes / sizeof(Bits));
    std::memcpy(target.data() + first, target_group.data(), bytes);
  }
  return streams.Finish();
}

bool IsFloat(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

}  // namespace

bool CanFloatCode(TensorType target_type, TensorType base_type) {
  return IsFloat(target_type) && CanView(base_type);
}

std::vector<std::byte> FloatEncode(TensorType type, std::span<const std::byte> target,
                                   std::span<const std::byte> base, uint32_t max_tables) {
  GS_CHECK(IsFloat(type) && target.size() == base.size());
  if (type == TensorType::kF32) return Encode<F32>(target, base, max_tables);
  if (type == TensorType::kF16) return Encode<F16>(target, base, max_tables);
  return Encode<Bf16>(target, base, max_tables);
}

Result<void> FloatDecode(TensorType type, std::span<const std::byte> payload,
                         std::span<const std::byte> base, std::span<std::byte> target) {
  GS_CHECK(IsFloat(type) && target.size() == base.size());
  if (type == TensorType::kF32) return Decode<F32>(payload, base, target);
  if (type == TensorType::kF16) return Decode<F16>(payload, base, target);
  return Decode<Bf16>(payload, base, target);
}

}  // namespace gguf_shard
