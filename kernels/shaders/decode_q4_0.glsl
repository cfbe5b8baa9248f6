// Q4_0: [d f16][qs:16], w = d * (q - 8); byte j holds weights j and j + 16.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 18
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i);
    q[i] = word & kNibbles;
    q[i + 4] = word >> 4 & kNibbles;
  }
  scales = vec2(ShortHalf(block));
  mins = 8.0 * scales;
}
