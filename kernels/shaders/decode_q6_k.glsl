// Q6_K: [ql:128][qh:64][scales:16 int8][d f16], w = d * sc * (q - 32) for each 16 weights. A half
// of 128 weights has four units of 32: low nibbles of its 64 bytes of ql, then high nibbles; two
// more bits each from its 32 bytes of qh.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 210
#define SHORT_OFFSET 208
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const uint half_index = unit / 4;
  const uint quarter = unit % 4;
  const uint packed = Word(block, 48 + unit / 2) >> unit % 2 * 16;
  const uint low_word = half_index * 16 + quarter % 2 * 8;
  const uint low_shift = quarter / 2 * 4;
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    const uint low = Word(block, low_word + i) >> low_shift & kNibbles;
    q[i] = low | (Word(block, 32 + half_index * 8 + i) >> quarter * 2 & 0x03030303u) << 4;
  }
  scales = ShortHalf(block) * SignedBytes(packed).xy;
  mins = 32.0 * scales;
}
