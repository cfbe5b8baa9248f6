// Q8_0: [d f16][qs:32 int8], w = d * q.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 34
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const float scale = ShortHalf(block);
  [[unroll]] for (uint i = 0; i < 8; ++i) weights[i] = scale * SignedBytes(Word(block, i));
}
