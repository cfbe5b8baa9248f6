// Q8_0: [d f16][qs:32 int8], w = d * q.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 34
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  [[unroll]] for (uint i = 0; i < 8; ++i) q[i] = Word(block, i);
  scales = vec2(ShortHalf(block));
  mins = vec2(0);
}
