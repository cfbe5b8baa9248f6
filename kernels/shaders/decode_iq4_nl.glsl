// IQ4_NL: [d f16][qs:16], w = d * table[q].
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 18
#define SHORT_OFFSET 0
#define SHORT_BYTES 2
#include "kernels/shaders/block.glsl"
#include "kernels/shaders/iq4_table.glsl"

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const float scale = ShortHalf(block);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i);
    weights[i] = scale * Iq4Values(Nibbles(word));
    weights[i + 4] = scale * Iq4Values(Nibbles(word >> 4));
  }
}
