#include "delta/float_base.h"

#include <algorithm>
#include <bit>

#include "core/bytes.h"
#include "delta/base_view.h"

namespace gguf_shard {
namespace {

struct ExactValue {
  int64_t value;
  int32_t exponent;
};

// slope * level + offset. The exponents of f16 numbers are at most 30 apart, the products below
// 2^28.
ExactValue QuantValue(Scale slope, int32_t level, Scale offset) {
  const int64_t product = slope.mantissa * level;
  if (product == 0) return {offset.mantissa, offset.exponent};
  if (offset.mantissa == 0) return {product, slope.exponent};
  const int32_t exponent = std::min(slope.exponent, offset.exponent);
  return {product * (int64_t{1} << (slope.exponent - exponent)) +
              offset.mantissa * (int64_t{1} << (offset.exponent - exponent)),
          exponent};
}

template <typename Bits, uint32_t kFraction, uint32_t kExponent>
class Converter {
 public:
  explicit Converter(std::vector<std::byte>& floats) : floats_(floats) {}

  void Put(uint64_t index, ExactValue exact) {
    const uint32_t bits = NearestFloat(exact.value, exact.exponent, kFraction, kExponent);
    StoreLe(floats_.data() + index * sizeof(Bits), static_cast<Bits>(bits));
  }

  void PutFloats(TensorType base_type, std::span<const std::byte> base, uint64_t weight_count) {
    for (uint64_t i = 0; i < weight_count; ++i) {
      const Scale value = FloatScale(base_type, base.data(), i);
      Put(i, {value.mantissa, value.exponent});
    }
  }

  void PutQuants(TensorType base_type, std::span<const std::byte> base, uint64_t weight_count) {
    const TensorTypeInfo& info = GetTensorType(base_type);
    QuantGroup group{};
    BaseView view;
    for (uint64_t first = 0; first < weight_count; first += kGroupWeights) {
      const auto count =
          static_cast<uint32_t>(std::min<uint64_t>(kGroupWeights, weight_count - first));
      ViewBlocks(base_type, base.data() + first / info.block_weights * info.block_bytes, count,
                 group, view);
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t unit = i / kViewUnit;
        Put(first + i, QuantValue(view.slope[unit], view.level[i], view.offset[unit]));
      }
    }
  }

 private:
  std::vector<std::byte>& floats_;
};

template <typename Bits, uint32_t kFraction, uint32_t kExponent>
std::vector<std::byte> Convert(TensorType base_type, std::span<const std::byte> base) {
  const TensorTypeInfo& info = GetTensorType(base_type);
  const uint64_t weight_count = base.size() / info.block_bytes * info.block_weights;
  std::vector<std::byte> floats(weight_count * sizeof(Bits));
  Converter<Bits, kFraction, kExponent> converter(floats);
  if (FindQuantFormat(base_type) == nullptr) {
    converter.PutFloats(base_type, base, weight_count);
  } else {
    converter.PutQuants(base_type, base, weight_count);
  }
  return floats;
}

}  // namespace

uint32_t NearestFloat(int64_t value, int32_t exponent, uint32_t fraction_bits,
                      uint32_t exponent_bits) {
  const auto magnitude = static_cast<uint64_t>(value < 0 ? -value : value);
  if (magnitude == 0) return 0;
  const auto fraction = static_cast<int32_t>(fraction_bits);
  const int32_t bias = (1 << (exponent_bits - 1)) - 1;
  const int32_t leading = static_cast<int32_t>(std::bit_width(magnitude)) - 1 + exponent;
  const int64_t field = leading + bias;
  // Below the normal numbers the last place stays where it is.
  const int32_t last_place = std::max(leading, 1 - bias) - fraction;
  const int32_t shift = last_place - exponent;
  uint64_t mantissa = 0;
  if (shift <= 0) {
    mantissa = magnitude << -shift;
  } else if (shift < 64) {
    const uint64_t rest = magnitude & ((uint64_t{1} << shift) - 1);
    const uint64_t half = uint64_t{1} << (shift - 1);
    mantissa = magnitude >> shift;
    mantissa += rest > half || (rest == half && (mantissa & 1) != 0) ? 1 : 0;
  }
  // The leading one of a normal number is not stored; a carry goes to the exponent.
  const int64_t bits =
      static_cast<int64_t>(mantissa) + (field > 0 ? (field - 1) * (int64_t{1} << fraction) : 0);
  const int64_t infinity = ((int64_t{1} << exponent_bits) - 1) << fraction;
  const uint32_t sign = value < 0 ? 1u << (fraction_bits + exponent_bits) : 0;
  return static_cast<uint32_t>(std::min(bits, infinity)) | sign;
}

std::vector<std::byte> FloatsOf(TensorType target_type, TensorType base_type,
                                std::span<const std::byte> base) {
  if (target_type == TensorType::kF32) return Convert<uint32_t, 23, 8>(base_type, base);
  if (target_type == TensorType::kF16) return Convert<uint16_t, 10, 5>(base_type, base);
  return Convert<uint16_t, 7, 8>(base_type, base);
}

}  // namespace gguf_shard
