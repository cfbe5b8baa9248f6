// MXFP4: [e u8][qs:16], w = 2^(e - 127) * e2m1(q).
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 17
#define SHORT_OFFSET 0
#define SHORT_BYTES 1
#include "kernels/shaders/block.glsl"

// Twice the value of sign, two exponent bits and a mantissa bit, int8: 0 1 2 3 4 6 8 12.
uint TwiceE2m1(uint bits) {
  const uint magnitude = 0xc8643210u >> (bits & 7u) * 4 & 0xfu;
  return (bits & 8u) == 0 ? magnitude : -magnitude & 0xffu;
}

// Of the four in the bytes of a word.
uint TwiceE2m1Word(uint bits) {
  return TwiceE2m1(bits & 15u) | TwiceE2m1(bits >> 8 & 15u) << 8 |
         TwiceE2m1(bits >> 16 & 15u) << 16 | TwiceE2m1(bits >> 24) << 24;
}

// 2^(exponent - 128); a driver may take the two smallest, which are subnormal, for zero.
float PowerOfTwo(uint exponent) {
  return uintBitsToFloat(exponent > 1 ? (exponent - 1u) << 23 : 0x200000u << exponent);
}

void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins) {
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i);
    q[i] = TwiceE2m1Word(word & kNibbles);
    q[i + 4] = TwiceE2m1Word(word >> 4 & kNibbles);
  }
  scales = vec2(PowerOfTwo(ShortByte(block, 0)));
  mins = vec2(0);
}
