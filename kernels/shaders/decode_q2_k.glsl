// Q2_K: [scales:16][qs:64][d f16][dmin f16], w = d * sc * q - dmin * m for each 16 weights; a half
// of 128 weights has four units of 32, two bits each of its 32 bytes.
#define BLOCK_WEIGHTS 256
#define BLOCK_BYTES 84
#define SHORT_OFFSET 0
#define SHORT_BYTES 0
#include "kernels/shaders/block.glsl"

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  const vec2 d = HalvesToFloats(Word(block, 20));
  const uint packed = Word(block, unit / 2) >> unit % 2 * 16;
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    q[i] = Word(block, 4 + unit / 4 * 8 + i) >> unit % 4 * 2 & 0x03030303u;
  }
  scales = d.x * vec2(packed & 15u, packed >> 8 & 15u);
  mins = d.y * vec2(packed >> 4 & 15u, packed >> 12 & 15u);
}
