// Quantized blocks as numbers: up to 256 weights cut into the fields of their format, and back,
// without loss.
//
// A group is one 256-weight block or up to eight 32-weight blocks. Every weight of the formats
// handled here is
//
//   weight = f16(d) * scale * level + sign * f16(m) * min,   level = quant, or codebook[quant]
//
// with d and m per block, scale and min per sub-block of 16 or 32 weights (1 where the format has
// none), and quant per weight. Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/tensor_type.h"

namespace gguf_shard {

inline constexpr uint32_t kGroupWeights = 256;

struct QuantFormat {
  uint32_t sub_weights;  // weights per sub-block
  uint32_t quant_bits;   // bits of a quant
  int32_t quant_low;     // smallest quant; the largest is quant_low + 2^quant_bits - 1
  uint32_t scale_bits;   // 0: no scales
  bool scale_is_signed;  // scales from -2^(bits-1), else from 0
  bool has_m;            // blocks have a second f16
  uint32_t min_bits;     // 0: no minima
  bool m_is_subtracted;  // sign of the second term
  bool has_codebook;     // IQ4: quant is an index
};

// Nothing for types that are not of this form.
const QuantFormat* FindQuantFormat(TensorType type);

struct QuantGroup {
  std::array<uint16_t, 8> d;
  std::array<uint16_t, 8> m;
  std::array<int16_t, 16> scale;
  std::array<int16_t, 16> min;
  std::array<int8_t, kGroupWeights> quant;
};

// `blocks` holds block_count blocks: 1 for 256-weight types, 1 to 8 for 32-weight types.
void UnpackGroup(TensorType type, const std::byte* blocks, uint32_t block_count, QuantGroup& group);
void PackGroup(TensorType type, const QuantGroup& group, uint32_t block_count, std::byte* blocks);

// The levels of IQ4_NL and IQ4_XS, ascending.
inline constexpr std::array<int8_t, 16> kIq4Codebook = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                        1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace gguf_shard
