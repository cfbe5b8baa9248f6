// Q4_0: [d f16][qs:16], w = d * (q - 8); byte j holds weights j and j + 16.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 18
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const float scale = ShortHalf(block);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i);
    weights[i] = scale * (vec4(Nibbles(word)) - 8.0);
    weights[i + 4] = scale * (vec4(Nibbles(word >> 4)) - 8.0);
  }
}
