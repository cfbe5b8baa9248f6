// The 16 values of a 4-bit index in IQ4_NL and IQ4_XS, plus 128, in the bytes of four words.
uint Iq4Byte(uint index) {
  const uint words[4] = uint[4](0x3f2d1801u, 0x766a5d4fu, 0xa6998d81u, 0xf1d9c5b5u);
  const uint low = (index & 4u) == 0 ? words[0] : words[1];
  const uint high = (index & 4u) == 0 ? words[2] : words[3];
  return (index < 8u ? low : high) >> (index & 3u) * 8 & 0xffu;
}

vec4 Iq4Values(uvec4 indices) {
  return vec4(Iq4Byte(indices.x), Iq4Byte(indices.y), Iq4Byte(indices.z), Iq4Byte(indices.w)) -
         128.0;
}
