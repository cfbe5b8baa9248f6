// A unit's 32 weights as floats, for a type that has Unpack (block.glsl).
void Decode(Block block, uint unit, out vec4 weights[8]) {
  uint q[8];
  vec2 scales;
  vec2 mins;
  Unpack(block, unit, q, scales, mins);
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    weights[i] = fma(SignedBytes(q[i]), vec4(scales[i / 4]), vec4(-mins[i / 4]));
  }
}
