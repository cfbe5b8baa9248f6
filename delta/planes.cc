#include "delta/planes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gguf_shard {
namespace {

// Blocks are taken a few kilobytes at a time, so that both sides stay in the processor's cache.
constexpr size_t kBlocksAtOnce = 256;

// A rectangle of blocks x bytes in them.
struct Rectangle {
  size_t first_block;
  size_t end_block;
  size_t first_byte;
  size_t end_byte;
};

// Both directions, byte by byte; a null base is all zeros.
void SplitSlowly(const std::byte* bytes, const std::byte* base, size_t block_bytes, size_t count,
                 const Rectangle& part, std::byte* planes) {
  for (size_t p = part.first_byte; p < part.end_byte; ++p) {
    std::byte* const plane = planes + p * count;
    for (size_t b = part.first_block; b < part.end_block; ++b) {
      const size_t at = b * block_bytes + p;
      plane[b] = base == nullptr ? bytes[at] : bytes[at] ^ base[at];
    }
  }
}
void JoinSlowly(const std::byte* planes, const std::byte* base, size_t block_bytes, size_t count,
                const Rectangle& part, std::byte* bytes) {
  for (size_t p = part.first_byte; p < part.end_byte; ++p) {
    const std::byte* const plane = planes + p * count;
    for (size_t b = part.first_block; b < part.end_block; ++b) {
      const size_t at = b * block_bytes + p;
      bytes[at] = base == nullptr ? plane[b] : plane[b] ^ base[at];
    }
  }
}

#if defined(__x86_64__)
// Two rows of eight bytes in each vector, in and out.
struct Square {
  __m128i pair[4];
};

__m128i LoadRow(const std::byte* row) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
}

Square Transpose(const __m128i (&row)[8]) {
  const __m128i a = _mm_unpacklo_epi8(row[0], row[1]);
  const __m128i b = _mm_unpacklo_epi8(row[2], row[3]);
  const __m128i c = _mm_unpacklo_epi8(row[4], row[5]);
  const __m128i d = _mm_unpacklo_epi8(row[6], row[7]);
  const __m128i low_ab = _mm_unpacklo_epi16(a, b);
  const __m128i high_ab = _mm_unpackhi_epi16(a, b);
  const __m128i low_cd = _mm_unpacklo_epi16(c, d);
  const __m128i high_cd = _mm_unpackhi_epi16(c, d);
  return {{_mm_unpacklo_epi32(low_ab, low_cd), _mm_unpackhi_epi32(low_ab, low_cd),
           _mm_unpacklo_epi32(high_ab, high_cd), _mm_unpackhi_epi32(high_ab, high_cd)}};
}

__m128i RowOf(const Square& square, size_t i) {
  return i % 2 == 0 ? square.pair[i / 2] : _mm_unpackhi_epi64(square.pair[i / 2], square.pair[0]);
}

void StoreRow(std::byte* row, __m128i value) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(row), value);
}

void SplitSquare(const std::byte* bytes, const std::byte* base, size_t block_bytes, size_t count,
                 std::byte* planes) {
  __m128i row[8];
  for (size_t i = 0; i < 8; ++i) {
    row[i] = LoadRow(bytes + i * block_bytes);
    if (base != nullptr) row[i] = _mm_xor_si128(row[i], LoadRow(base + i * block_bytes));
  }
  const Square square = Transpose(row);
  for (size_t i = 0; i < 8; ++i) StoreRow(planes + i * count, RowOf(square, i));
}
void JoinSquare(const std::byte* planes, const std::byte* base, size_t block_bytes, size_t count,
                std::byte* bytes) {
  __m128i row[8];
  for (size_t i = 0; i < 8; ++i) row[i] = LoadRow(planes + i * count);
  const Square square = Transpose(row);
  for (size_t i = 0; i < 8; ++i) {
    __m128i block = RowOf(square, i);
    if (base != nullptr) block = _mm_xor_si128(block, LoadRow(base + i * block_bytes));
    StoreRow(bytes + i * block_bytes, block);
  }
}

// How much of a rectangle's width and height is done in squares.
constexpr size_t WholeSquares(size_t first, size_t end) { return first + (end - first) / 8 * 8; }
#endif

// Blocks of two bytes (F16, BF16), the most common that squares do not serve. kXor: there is a
// base.
template <bool kXor>
void SplitPairs(const std::byte* __restrict bytes, const std::byte* __restrict base, size_t count,
                std::byte* __restrict low, std::byte* __restrict high) {
  for (size_t b = 0; b < count; ++b) {
    low[b] = kXor ? bytes[2 * b] ^ base[2 * b] : bytes[2 * b];
    high[b] = kXor ? bytes[2 * b + 1] ^ base[2 * b + 1] : bytes[2 * b + 1];
  }
}
template <bool kXor>
void JoinPairs(const std::byte* __restrict low, const std::byte* __restrict high,
               const std::byte* __restrict base, size_t count, std::byte* __restrict bytes) {
  for (size_t b = 0; b < count; ++b) {
    bytes[2 * b] = kXor ? low[b] ^ base[2 * b] : low[b];
    bytes[2 * b + 1] = kXor ? high[b] ^ base[2 * b + 1] : high[b];
  }
}

}  // namespace

void SplitPlanes(std::span<const std::byte> bytes, std::span<const std::byte> base,
                 size_t block_bytes, std::span<std::byte> planes) {
  const size_t count = bytes.size() / block_bytes;
  const std::byte* const under = base.empty() ? nullptr : base.data();
  if (block_bytes == 2) {
    std::byte* const low = planes.data();
    return under == nullptr ? SplitPairs<false>(bytes.data(), under, count, low, low + count)
                            : SplitPairs<true>(bytes.data(), under, count, low, low + count);
  }
  for (size_t first = 0; first < count; first += kBlocksAtOnce) {
    const size_t end = std::min(first + kBlocksAtOnce, count);
    size_t block = first;
    size_t byte = 0;
#if defined(__x86_64__)
    block = WholeSquares(first, end);
    byte = WholeSquares(0, block_bytes);
    for (size_t p = 0; p < byte; p += 8) {
      for (size_t b = first; b < block; b += 8) {
        const size_t at = b * block_bytes + p;
        SplitSquare(bytes.data() + at, under == nullptr ? nullptr : under + at, block_bytes, count,
                    planes.data() + p * count + b);
      }
    }
#endif
    SplitSlowly(bytes.data(), under, block_bytes, count, {first, block, byte, block_bytes},
                planes.data());
    SplitSlowly(bytes.data(), under, block_bytes, count, {block, end, 0, block_bytes},
                planes.data());
  }
}

void JoinPlanes(std::span<const std::byte> planes, std::span<const std::byte> base,
                size_t block_bytes, std::span<std::byte> bytes) {
  const size_t count = bytes.size() / block_bytes;
  const std::byte* const under = base.empty() ? nullptr : base.data();
  if (block_bytes == 2) {
    const std::byte* const low = planes.data();
    return under == nullptr ? JoinPairs<false>(low, low + count, under, count, bytes.data())
                            : JoinPairs<true>(low, low + count, under, count, bytes.data());
  }
  for (size_t first = 0; first < count; first += kBlocksAtOnce) {
    const size_t end = std::min(first + kBlocksAtOnce, count);
    size_t block = first;
    size_t byte = 0;
#if defined(__x86_64__)
    block = WholeSquares(first, end);
    byte = WholeSquares(0, block_bytes);
    for (size_t p = 0; p < byte; p += 8) {
      for (size_t b = first; b < block; b += 8) {
        const size_t at = b * block_bytes + p;
        JoinSquare(planes.data() + p * count + b, under == nullptr ? nullptr : under + at,
                   block_bytes, count, bytes.data() + at);
      }
    }
#endif
    JoinSlowly(planes.data(), under, block_bytes, count, {first, block, byte, block_bytes},
               bytes.data());
    JoinSlowly(planes.data(), under, block_bytes, count, {block, end, 0, block_bytes},
               bytes.data());
  }
}

}  // namespace gguf_shard
