#include "delta/huffman_streams.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"
#include "delta/wide.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gguf_shard {
namespace {

// Of the bytes still to be written, the last come first: a decoder reads backwards.
struct CodeStream {
  const std::byte* bytes;
  size_t left;
  std::byte* out;
  uint64_t buffer = 0;
  uint32_t filled = 0;  // below 8 between calls

  // At most 56 bits.
  GS_WIDE void Put(uint64_t bits, uint32_t count) {
    buffer |= bits << filled;
    filled += count;
    StoreLe(out, buffer);
    out += filled >> 3;
    buffer >>= filled & 56;
    filled &= 7;
  }
};

using Streams = std::array<CodeStream, kHuffmanStreams>;

void PutBytes(const HuffmanCode& code, CodeStream& stream, size_t count) {
  for (; count != 0; --count) {
    const auto symbol = static_cast<uint8_t>(stream.bytes[--stream.left]);
    stream.Put(code.code[symbol], code.bits[symbol]);
  }
}

// Four symbols at once, in all streams in turn: each waits for its own bits alone.
void PutAll(const HuffmanCode& code, Streams& streams, size_t count) {
  std::array<uint16_t, 256> entries;
  for (size_t s = 0; s < entries.size(); ++s) {
    entries[s] = static_cast<uint16_t>(code.code[s] << 4 | code.bits[s]);
  }
  for (size_t done = 0; done < count; done += 4) {
    for (CodeStream& stream : streams) {
      stream.left -= 4;
      uint64_t bits = 0;
      uint32_t filled = 0;
      for (size_t i = 4; i-- > 0;) {
        const uint64_t entry = entries[static_cast<uint8_t>(stream.bytes[stream.left + i])];
        bits |= entry >> 4 << filled;
        filled += entry & 15;
      }
      stream.Put(bits, filled);
    }
  }
}

constexpr size_t kChunkBytes = 64;

#if defined(__x86_64__)
#define GS_TARGET_VBMI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi")))

// 256 bytes that are looked up 64 at a time.
struct WideTable {
  __m512i part[4];
};

struct WideCode {
  WideTable low;   // the code's lower eight bits
  WideTable high;  // the upper three, then the length
};

GS_TARGET_VBMI WideCode MakeWideCode(const HuffmanCode& code) {
  alignas(64) std::array<uint8_t, 256> low;
  alignas(64) std::array<uint8_t, 256> high;
  for (size_t s = 0; s < 256; ++s) {
    low[s] = static_cast<uint8_t>(code.code[s]);
    high[s] = static_cast<uint8_t>(code.code[s] >> 8 | code.bits[s] << 4);
  }
  WideCode wide;
  for (size_t i = 0; i < 4; ++i) {
    wide.low.part[i] = _mm512_load_si512(low.data() + i * 64);
    wide.high.part[i] = _mm512_load_si512(high.data() + i * 64);
  }
  return wide;
}

GS_TARGET_VBMI inline __m512i LookUp(const WideTable& table, __m512i symbols, __mmask64 upper) {
  return _mm512_mask_blend_epi8(upper,
                                _mm512_permutex2var_epi8(table.part[0], symbols, table.part[1]),
                                _mm512_permutex2var_epi8(table.part[2], symbols, table.part[3]));
}

// The bits of four symbols each, in the order of the symbols, and how many there are.
struct Quads {
  alignas(64) uint64_t bits[kChunkBytes / 4];
  alignas(64) uint64_t counts[kChunkBytes / 4];
};

// Of eight quads: codes and lengths of 32 symbols, in 16 bits each; later symbols in lower bits.
GS_TARGET_VBMI inline void JoinQuads(__m512i low, __m512i high, uint64_t* bits, uint64_t* counts) {
  const __m512i lengths = _mm512_srli_epi16(high, 12);
  const __m512i codes = _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi16(0x700)));
  const __m512i first_half = _mm512_set1_epi32(0xffff);
  const __m512i pair_lengths =
      _mm512_add_epi32(_mm512_and_si512(lengths, first_half), _mm512_srli_epi32(lengths, 16));
  const __m512i pairs = _mm512_or_si512(
      _mm512_srli_epi32(codes, 16),
      _mm512_sllv_epi32(_mm512_and_si512(codes, first_half), _mm512_srli_epi32(lengths, 16)));
  const __m512i first_pair = _mm512_set1_epi64(0xffffffff);
  const __m512i later_lengths = _mm512_srli_epi64(pair_lengths, 32);
  _mm512_store_si512(counts,
                     _mm512_add_epi64(_mm512_and_si512(pair_lengths, first_pair), later_lengths));
  _mm512_store_si512(
      bits, _mm512_or_si512(_mm512_srli_epi64(pairs, 32),
                            _mm512_sllv_epi64(_mm512_and_si512(pairs, first_pair), later_lengths)));
}

GS_TARGET_VBMI inline void MakeQuads(const WideCode& code, const std::byte* bytes, Quads& quads) {
  // Unpacking below works on quarters of a vector: this puts eight symbols of each half into each.
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const __m512i symbols = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(bytes));
  const __mmask64 upper = _mm512_movepi8_mask(symbols);
  const __m512i low = LookUp(code.low, symbols, upper);
  const __m512i high = LookUp(code.high, symbols, upper);
  const __m512i zero = _mm512_setzero_si512();
  JoinQuads(_mm512_unpacklo_epi8(low, zero), _mm512_unpacklo_epi8(zero, high), quads.bits,
            quads.counts);
  JoinQuads(_mm512_unpackhi_epi8(low, zero), _mm512_unpackhi_epi8(zero, high), quads.bits + 8,
            quads.counts + 8);
}

GS_TARGET_VBMI void PutAllWide(const HuffmanCode& code, Streams& streams, size_t count) {
  const WideCode wide = MakeWideCode(code);
  std::array<Quads, kHuffmanStreams> quads;
  Streams local = streams;
  for (size_t done = 0; done < count; done += kChunkBytes) {
    for (size_t s = 0; s < kHuffmanStreams; ++s) {
      local[s].left -= kChunkBytes;
      MakeQuads(wide, local[s].bytes + local[s].left, quads[s]);
    }
    for (size_t i = kChunkBytes / 4; i-- > 0;) {
      for (size_t s = 0; s < kHuffmanStreams; ++s) {
        local[s].Put(quads[s].bits[i], static_cast<uint32_t>(quads[s].counts[i]));
      }
    }
  }
  streams = local;
}

bool HasVbmi() {
  static const bool has = __builtin_cpu_supports("avx512vbmi") != 0;
  return has && WideInUse() == Wide::kAvx512;
}
#endif

}  // namespace

std::array<size_t, kHuffmanStreams> EncodeHuffman(const HuffmanCode& code,
                                                  std::span<const std::byte> bytes,
                                                  HuffmanRoom& room) {
  GS_CHECK(bytes.size() >= 16 && bytes.size() <= kMaxHuffmanBytes);
  const size_t part = (bytes.size() + kHuffmanStreams - 1) / kHuffmanStreams;
  Streams streams;
  size_t shortest = part;
  for (size_t s = 0; s < kHuffmanStreams; ++s) {
    const size_t count = std::min(part, bytes.size() - s * part);
    streams[s] = {bytes.data() + s * part, count, room[s].data()};
    shortest = std::min(shortest, count);
  }
  const size_t together = shortest / kChunkBytes * kChunkBytes;
  for (CodeStream& stream : streams) PutBytes(code, stream, stream.left - together);
#if defined(__x86_64__)
  HasVbmi() ? PutAllWide(code, streams, together) : PutAll(code, streams, together);
#else
  PutAll(code, streams, together);
#endif
  std::array<size_t, kHuffmanStreams> sizes;
  for (size_t s = 0; s < kHuffmanStreams; ++s) {
    streams[s].Put(1, 1);
    sizes[s] = static_cast<size_t>(streams[s].out - room[s].data()) + (streams[s].filled != 0);
  }
  return sizes;
}

}  // namespace gguf_shard
