// 16-bit floats from their bits. By integers, because a driver may flush the subnormal numbers that
// small scales are made of.
float HalfToFloat(uint bits) {
  const uint magnitude = bits & 0x7fffu;
  const uint sign = (bits & 0x8000u) << 16;
  if (magnitude < 0x0400u) {
    return uintBitsToFloat(floatBitsToUint(float(magnitude) * 5.9604644775390625e-8) | sign);
  }
  const uint exponent_fix = magnitude >= 0x7c00u ? 0x70000000u : 0x38000000u;
  return uintBitsToFloat(sign | ((magnitude << 13) + exponent_fix));
}

// The low and the high half of a word.
vec2 HalvesToFloats(uint word) { return vec2(HalfToFloat(word & 0xffffu), HalfToFloat(word >> 16)); }

float Bfloat16ToFloat(uint bits) { return uintBitsToFloat(bits << 16); }
