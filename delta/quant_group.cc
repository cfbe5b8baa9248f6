#include "delta/quant_group.h"

#include "core/bytes.h"
#include "core/check.h"
#include "delta/wide.h"

namespace gguf_shard {
namespace {

GS_WIDE inline uint8_t ByteAt(const std::byte* bytes, size_t index) {
  return static_cast<uint8_t>(bytes[index]);
}

// Sixteen bytes of nibbles: low nibbles are weights 0..15, high ones 16..31.
GS_WIDE inline void UnpackHalves(const std::byte* qs, int32_t low, int8_t* quant) {
  for (size_t i = 0; i < 16; ++i) {
    const uint8_t byte = ByteAt(qs, i);
    quant[i] = static_cast<int8_t>((byte & 15) + low);
    quant[i + 16] = static_cast<int8_t>((byte >> 4) + low);
  }
}
GS_WIDE inline void PackHalves(const int8_t* quant, int32_t low, std::byte* qs) {
  for (size_t i = 0; i < 16; ++i) {
    qs[i] = static_cast<std::byte>(((quant[i] - low) & 15) | ((quant[i + 16] - low) & 15) << 4);
  }
}

// The fifth bits of 32 weights: bit i of a u32 is weight i's.
void UnpackFifthBits(const std::byte* qh, int8_t* quant) {
  const auto bits = LoadLe<uint32_t>(qh);
  for (uint32_t i = 0; i < 32; ++i) {
    quant[i] = static_cast<int8_t>(quant[i] + static_cast<int>((bits >> i & 1) << 4));
  }
}
void PackFifthBits(const int8_t* quant, int32_t low, std::byte* qh) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < 32; ++i) {
    bits |= (static_cast<uint32_t>(quant[i] - low) >> 4 & 1) << i;
  }
  StoreLe(qh, bits);
}

// The six-bit scales and minima of Q4_K and Q5_K in 12 bytes: the first four of each in the low six
// bits of bytes 0..3 and 4..7; the last four have their low nibbles in bytes 8..11 (scale low, min
// high) and their high two bits on top of bytes 0..7.
GS_WIDE inline void UnpackScalesMins(const std::byte* packed, QuantGroup& group) {
  for (size_t j = 0; j < 4; ++j) {
    group.scale[j] = ByteAt(packed, j) & 63;
    group.min[j] = ByteAt(packed, j + 4) & 63;
    group.scale[j + 4] =
        static_cast<int16_t>((ByteAt(packed, j + 8) & 15) | (ByteAt(packed, j) >> 6) << 4);
    group.min[j + 4] =
        static_cast<int16_t>((ByteAt(packed, j + 8) >> 4) | (ByteAt(packed, j + 4) >> 6) << 4);
  }
}
GS_WIDE inline void PackScalesMins(const QuantGroup& group, std::byte* packed) {
  for (size_t j = 0; j < 4; ++j) {
    packed[j] = static_cast<std::byte>(group.scale[j] | (group.scale[j + 4] >> 4) << 6);
    packed[j + 4] = static_cast<std::byte>(group.min[j] | (group.min[j + 4] >> 4) << 6);
    packed[j + 8] =
        static_cast<std::byte>((group.scale[j + 4] & 15) | (group.min[j + 4] & 15) << 4);
  }
}

// Two bits per weight in 64 bytes (Q2_K, Q3_K): weight 128n + 32j + l is bits 2j of byte 32n + l.
GS_WIDE inline void UnpackPairs(const std::byte* qs, int8_t* quant) {
  for (size_t n = 0; n < 2; ++n) {
    for (size_t j = 0; j < 4; ++j) {
      for (size_t l = 0; l < 32; ++l) {
        quant[n * 128 + j * 32 + l] = static_cast<int8_t>(ByteAt(qs, n * 32 + l) >> (2 * j) & 3);
      }
    }
  }
}
GS_WIDE inline void PackPairs(const int8_t* quant, int32_t low, std::byte* qs) {
  for (size_t n = 0; n < 2; ++n) {
    for (size_t l = 0; l < 32; ++l) {
      int byte = 0;
      for (size_t j = 0; j < 4; ++j) byte |= ((quant[n * 128 + j * 32 + l] - low) & 3) << (2 * j);
      qs[n * 32 + l] = static_cast<std::byte>(byte);
    }
  }
}

// [scales 16][qs 64][d][dmin]
void UnpackQ2K(const std::byte* block, QuantGroup& group) {
  for (size_t j = 0; j < 16; ++j) {
    group.scale[j] = ByteAt(block, j) & 15;
    group.min[j] = ByteAt(block, j) >> 4;
  }
  UnpackPairs(block + 16, group.quant.data());
  group.d[0] = LoadLe<uint16_t>(block + 80);
  group.m[0] = LoadLe<uint16_t>(block + 82);
}
void PackQ2K(const QuantGroup& group, std::byte* block) {
  for (size_t j = 0; j < 16; ++j) {
    block[j] = static_cast<std::byte>(group.scale[j] | group.min[j] << 4);
  }
  PackPairs(group.quant.data(), 0, block + 16);
  StoreLe(block + 80, group.d[0]);
  StoreLe(block + 82, group.m[0]);
}

// [hmask 32][qs 64][scales 12][d]; bit 4n + j of hmask byte l is the third bit of weight
// 128n + 32j + l; scale j: low nibble in byte j % 8 (high half from 8 on), high bits in byte 8 +
// j%4.
void UnpackQ3K(const std::byte* block, QuantGroup& group) {
  UnpackPairs(block + 32, group.quant.data());
  for (size_t nj = 0; nj < 8; ++nj) {
    for (size_t l = 0; l < 32; ++l) {
      int8_t& quant = group.quant[nj * 32 + l];
      quant = static_cast<int8_t>(quant + ((ByteAt(block, l) >> nj & 1) << 2) - 4);
    }
  }
  const std::byte* scales = block + 96;
  for (size_t j = 0; j < 16; ++j) {
    const int low = ByteAt(scales, j % 8) >> (j < 8 ? 0 : 4) & 15;
    const int high = ByteAt(scales, 8 + j % 4) >> (2 * (j / 4)) & 3;
    group.scale[j] = static_cast<int16_t>((low | high << 4) - 32);
  }
  group.d[0] = LoadLe<uint16_t>(block + 108);
}
void PackQ3K(const QuantGroup& group, std::byte* block) {
  PackPairs(group.quant.data(), -4, block + 32);
  for (size_t l = 0; l < 32; ++l) {
    int byte = 0;
    for (size_t nj = 0; nj < 8; ++nj) byte |= ((group.quant[nj * 32 + l] + 4) >> 2 & 1) << nj;
    block[l] = static_cast<std::byte>(byte);
  }
  std::array<int, 12> scales{};
  for (size_t j = 0; j < 16; ++j) {
    const int value = group.scale[j] + 32;
    scales[j % 8] |= (value & 15) << (j < 8 ? 0 : 4);
    scales[8 + j % 4] |= (value >> 4) << (2 * (j / 4));
  }
  for (size_t i = 0; i < 12; ++i) block[96 + i] = static_cast<std::byte>(scales[i]);
  StoreLe(block + 108, group.d[0]);
}

// Q4_K: [d][dmin][scales 12][qs 128]; Q5_K: [d][dmin][scales 12][qh 32][qs 128]. Weight 32j + l is
// nibble j % 2 of byte 32 (j / 2) + l; its fifth bit is bit j of qh byte l.
GS_WIDE inline void UnpackQ45K(const std::byte* block, bool fifth_bit, QuantGroup& group) {
  group.d[0] = LoadLe<uint16_t>(block);
  group.m[0] = LoadLe<uint16_t>(block + 2);
  UnpackScalesMins(block + 4, group);
  const std::byte* qs = block + (fifth_bit ? 48 : 16);
  for (size_t j = 0; j < 4; ++j) {
    for (size_t l = 0; l < 32; ++l) {
      const uint8_t byte = ByteAt(qs, j * 32 + l);
      group.quant[j * 64 + l] = byte & 15;
      group.quant[j * 64 + 32 + l] = static_cast<int8_t>(byte >> 4);
    }
  }
  if (!fifth_bit) return;
  for (size_t j = 0; j < 8; ++j) {
    for (size_t l = 0; l < 32; ++l) {
      int8_t& quant = group.quant[j * 32 + l];
      quant = static_cast<int8_t>(quant + ((ByteAt(block + 16, l) >> j & 1) << 4));
    }
  }
}
GS_WIDE inline void PackQ45K(const QuantGroup& group, bool fifth_bit, std::byte* block) {
  StoreLe(block, group.d[0]);
  StoreLe(block + 2, group.m[0]);
  PackScalesMins(group, block + 4);
  std::byte* qs = block + (fifth_bit ? 48 : 16);
  for (size_t j = 0; j < 4; ++j) {
    for (size_t l = 0; l < 32; ++l) {
      qs[j * 32 + l] = static_cast<std::byte>((group.quant[j * 64 + l] & 15) |
                                              (group.quant[j * 64 + 32 + l] & 15) << 4);
    }
  }
  if (!fifth_bit) return;
  for (size_t l = 0; l < 32; ++l) {
    int byte = 0;
    for (size_t j = 0; j < 8; ++j) byte |= (group.quant[j * 32 + l] >> 4 & 1) << j;
    block[16 + l] = static_cast<std::byte>(byte);
  }
}

// [ql 128][qh 64][scales 16][d]; within each half h of 128 weights, weight 32j + l has its nibble
// j / 2 in ql byte 64h + 32 (j % 2) + l and two high bits at 2j in qh byte 32h + l.
GS_WIDE inline void UnpackSixBits(const std::byte* __restrict nibbles,
                                  const std::byte* __restrict high, int8_t* __restrict quant) {
  for (size_t l = 0; l < 32; ++l) {
    const uint8_t even = ByteAt(nibbles, l);
    const uint8_t odd = ByteAt(nibbles, l + 32);
    const uint8_t pairs = ByteAt(high, l);
    quant[l] = static_cast<int8_t>(((even & 15) | (pairs << 4 & 0x30)) - 32);
    quant[l + 32] = static_cast<int8_t>(((odd & 15) | (pairs << 2 & 0x30)) - 32);
    quant[l + 64] = static_cast<int8_t>((even >> 4 | (pairs & 0x30)) - 32);
    quant[l + 96] = static_cast<int8_t>((odd >> 4 | (pairs >> 2 & 0x30)) - 32);
  }
}
GS_WIDE inline void UnpackQ6K(const std::byte* block, QuantGroup& group) {
  for (size_t h = 0; h < 2; ++h) {
    UnpackSixBits(block + h * 64, block + 128 + h * 32, group.quant.data() + h * 128);
  }
  for (size_t j = 0; j < 16; ++j) group.scale[j] = LoadLe<int8_t>(block + 192 + j);
  group.d[0] = LoadLe<uint16_t>(block + 208);
}
GS_WIDE inline void PackQ6K(const QuantGroup& group, std::byte* block) {
  for (size_t h = 0; h < 2; ++h) {
    const int8_t* quant = group.quant.data() + h * 128;
    for (size_t l = 0; l < 32; ++l) {
      int high = 0;
      for (size_t j = 0; j < 4; ++j) high |= ((quant[j * 32 + l] + 32) >> 4 & 3) << (2 * j);
      block[128 + h * 32 + l] = static_cast<std::byte>(high);
      for (size_t j = 0; j < 2; ++j) {
        block[h * 64 + j * 32 + l] = static_cast<std::byte>(
            ((quant[j * 32 + l] + 32) & 15) | ((quant[(j + 2) * 32 + l] + 32) & 15) << 4);
      }
    }
  }
  for (size_t j = 0; j < 16; ++j) StoreLe(block + 192 + j, static_cast<int8_t>(group.scale[j]));
  StoreLe(block + 208, group.d[0]);
}

// [d][scales_h u16][scales_l 4][qs 128]
void UnpackIq4Xs(const std::byte* block, QuantGroup& group) {
  group.d[0] = LoadLe<uint16_t>(block);
  const auto high = LoadLe<uint16_t>(block + 2);
  for (size_t j = 0; j < 8; ++j) {
    const int low = ByteAt(block, 4 + j / 2) >> (4 * (j % 2)) & 15;
    group.scale[j] = static_cast<int16_t>((low | (high >> (2 * j) & 3) << 4) - 32);
    UnpackHalves(block + 8 + j * 16, 0, group.quant.data() + j * 32);
  }
}
void PackIq4Xs(const QuantGroup& group, std::byte* block) {
  StoreLe(block, group.d[0]);
  uint16_t high = 0;
  std::array<int, 4> low{};
  for (size_t j = 0; j < 8; ++j) {
    const int value = group.scale[j] + 32;
    low[j / 2] |= (value & 15) << (4 * (j % 2));
    high = static_cast<uint16_t>(high | (value >> 4) << (2 * j));
    PackHalves(group.quant.data() + j * 32, 0, block + 8 + j * 16);
  }
  StoreLe(block + 2, high);
  for (size_t i = 0; i < 4; ++i) block[4 + i] = static_cast<std::byte>(low[i]);
}

// 32-weight blocks: [d][m, if any][fifth bits u32, if any][qs].
void UnpackSmallBlock(TensorType type, const QuantFormat& format, const std::byte* block,
                      uint32_t index, QuantGroup& group) {
  int8_t* quant = group.quant.data() + index * 32;
  group.d[index] = LoadLe<uint16_t>(block);
  block += 2;
  if (format.has_m) {
    group.m[index] = LoadLe<uint16_t>(block);
    block += 2;
  }
  if (type == TensorType::kQ8_0) {
    for (size_t i = 0; i < 32; ++i) quant[i] = LoadLe<int8_t>(block + i);
  } else if (format.quant_bits == 5) {
    UnpackHalves(block + 4, format.quant_low, quant);
    UnpackFifthBits(block, quant);
  } else {
    UnpackHalves(block, format.quant_low, quant);
  }
}
void PackSmallBlock(TensorType type, const QuantFormat& format, const QuantGroup& group,
                    uint32_t index, std::byte* block) {
  const int8_t* quant = group.quant.data() + index * 32;
  StoreLe(block, group.d[index]);
  block += 2;
  if (format.has_m) {
    StoreLe(block, group.m[index]);
    block += 2;
  }
  if (type == TensorType::kQ8_0) {
    for (size_t i = 0; i < 32; ++i) StoreLe(block + i, quant[i]);
  } else if (format.quant_bits == 5) {
    PackFifthBits(quant, format.quant_low, block);
    PackHalves(quant, format.quant_low, block + 4);
  } else {
    PackHalves(quant, format.quant_low, block);
  }
}

struct FormatEntry {
  TensorType type;
  QuantFormat format;
};

using enum TensorType;

// clang-format off
constexpr std::array kFormats = {
    //                    sub  bits   low  scale  signed   m      min  minus  codebook
    FormatEntry{kQ4_0,   {32,   4,   -8,    0,   false, false,   0,  false, false}},
    FormatEntry{kQ4_1,   {32,   4,    0,    0,   false, true,    0,  false, false}},
    FormatEntry{kQ5_0,   {32,   5,  -16,    0,   false, false,   0,  false, false}},
    FormatEntry{kQ5_1,   {32,   5,    0,    0,   false, true,    0,  false, false}},
    FormatEntry{kQ8_0,   {32,   8, -128,    0,   false, false,   0,  false, false}},
    FormatEntry{kIQ4_NL, {32,   4,    0,    0,   false, false,   0,  false, true}},
    FormatEntry{kQ2_K,   {16,   2,    0,    4,   false, true,    4,  true,  false}},
    FormatEntry{kQ3_K,   {16,   3,   -4,    6,   true,  false,   0,  false, false}},
    FormatEntry{kQ4_K,   {32,   4,    0,    6,   false, true,    6,  true,  false}},
    FormatEntry{kQ5_K,   {32,   5,    0,    6,   false, true,    6,  true,  false}},
    FormatEntry{kQ6_K,   {16,   6,  -32,    8,   true,  false,   0,  false, false}},
    FormatEntry{kIQ4_XS, {32,   4,    0,    6,   true,  false,   0,  false, true}},
};
// clang-format on

}  // namespace

const QuantFormat* FindQuantFormat(TensorType type) {
  for (const auto& entry : kFormats) {
    if (entry.type == type) return &entry.format;
  }
  return nullptr;
}

void UnpackGroup(TensorType type, const std::byte* blocks, uint32_t block_count,
                 QuantGroup& group) {
  switch (type) {
    case kQ2_K:
      return UnpackQ2K(blocks, group);
    case kQ3_K:
      return UnpackQ3K(blocks, group);
    case kQ4_K:
      return RunWide([&]() GS_WIDE { UnpackQ45K(blocks, false, group); });
    case kQ5_K:
      return RunWide([&]() GS_WIDE { UnpackQ45K(blocks, true, group); });
    case kQ6_K:
      return RunWide([&]() GS_WIDE { UnpackQ6K(blocks, group); });
    case kIQ4_XS:
      return UnpackIq4Xs(blocks, group);
    default:
      break;
  }
  const QuantFormat* format = FindQuantFormat(type);
  GS_CHECK(format != nullptr);
  const uint32_t block_bytes = GetTensorType(type).block_bytes;
  for (uint32_t i = 0; i < block_count; ++i) {
    UnpackSmallBlock(type, *format, blocks + size_t{i} * block_bytes, i, group);
  }
}

void PackGroup(TensorType type, const QuantGroup& group, uint32_t block_count, std::byte* blocks) {
  switch (type) {
    case kQ2_K:
      return PackQ2K(group, blocks);
    case kQ3_K:
      return PackQ3K(group, blocks);
    case kQ4_K:
      return RunWide([&]() GS_WIDE { PackQ45K(group, false, blocks); });
    case kQ5_K:
      return RunWide([&]() GS_WIDE { PackQ45K(group, true, blocks); });
    case kQ6_K:
      return RunWide([&]() GS_WIDE { PackQ6K(group, blocks); });
    case kIQ4_XS:
      return PackIq4Xs(group, blocks);
    default:
      break;
  }
  const QuantFormat* format = FindQuantFormat(type);
  GS_CHECK(format != nullptr);
  const uint32_t block_bytes = GetTensorType(type).block_bytes;
  for (uint32_t i = 0; i < block_count; ++i) {
    PackSmallBlock(type, *format, group, i, blocks + size_t{i} * block_bytes);
  }
}

}  // namespace gguf_shard
