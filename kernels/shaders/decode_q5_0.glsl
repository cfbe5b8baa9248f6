// Q5_0: [d f16][qh:4][qs:16], w = d * (q - 16); bit j of qh is the fifth bit of weight j.
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 22
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/fifth_bits.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const float scale = ShortHalf(block);
  const uint high = Word(block, 0);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i + 1);
    weights[i] = scale * (vec4(Nibbles(word) | FifthBits(high, i * 4)) - 16.0);
    weights[i + 4] = scale * (vec4(Nibbles(word >> 4) | FifthBits(high, i * 4 + 16)) - 16.0);
  }
}
