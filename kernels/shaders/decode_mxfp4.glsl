// MXFP4: [e u8][qs:16], w = 2^(e - 127) * e2m1(q).
#define BLOCK_WEIGHTS 32
#define BLOCK_BYTES 17
#define SHORT_OFFSET 0
#define SHORT_BYTES 1
#include "kernels/shaders/block.glsl"

// Twice the value of sign, two exponent bits and a mantissa bit: 0 1 2 3 4 6 8 12.
float TwiceE2m1(uint bits) {
  const uint magnitude = 0xc8643210u >> (bits & 7u) * 4 & 0xfu;
  return (bits & 8u) == 0 ? float(magnitude) : -float(magnitude);
}

vec4 TwiceE2m1(uvec4 bits) {
  return vec4(TwiceE2m1(bits.x), TwiceE2m1(bits.y), TwiceE2m1(bits.z), TwiceE2m1(bits.w));
}

// 2^(exponent - 128) in two factors, because the whole leaves the range of normal numbers.
vec2 PowerOfTwo(uint exponent) {
  const uint half_exponent = exponent / 2;
  return vec2(uintBitsToFloat((half_exponent + 63u) << 23),
              uintBitsToFloat((exponent - half_exponent + 63u) << 23));
}

void Decode(Block block, uint unit, out vec4 weights[8]) {
  const vec2 scale = PowerOfTwo(ShortByte(block, 0));
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint word = Word(block, i);
    weights[i] = TwiceE2m1(Nibbles(word)) * scale.x * scale.y;
    weights[i + 4] = TwiceE2m1(Nibbles(word >> 4)) * scale.x * scale.y;
  }
}
