// Q3_K: [hmask:32][qs:64][scales:12][d f16], w = d * (sc - 32) * (q - 4) for each 16 weights. Two
// bits of q as in Q2_K, the third is bit `unit` of the bytes of hmask. Scales have their low nibbles
// in bytes 0-7 (0-7 low, 8-15 high), their top two bits in bytes 8-11.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 110
#define SHORT_OFFSET 108
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"

int SixBitScale(Block block, uint sub) {
  const uint low = ByteOfWords(block, 96 + sub % 8) >> sub / 8 * 4 & 15u;
  const uint top = ByteOfWords(block, 104 + sub % 4) >> sub / 4 * 2 & 3u;
  return int(low | top << 4) - 32;
}

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    const uint low = Word(block, 8 + unit / 4 * 8 + i) >> unit % 4 * 2 & 0x03030303u;
    q[i] = low | (Word(block, i) >> unit & 0x01010101u) << 2;
  }
  scales = ShortHalf(block) *
           vec2(SixBitScale(block, unit * 2), SixBitScale(block, unit * 2 + 1));
  mins = 4.0 * scales;
}
