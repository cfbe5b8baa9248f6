// The 16 values of a 4-bit index in IQ4_NL and IQ4_XS, int8, in the bytes of four words.
uint Iq4Byte(uint index) {
  const uint words[4] = uint[4](0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
  const uint low = (index & 4u) == 0 ? words[0] : words[1];
  const uint high = (index & 4u) == 0 ? words[2] : words[3];
  return (index < 8u ? low : high) >> (index & 3u) * 8 & 0xffu;
}

// Of the four indices in the bytes of a word.
uint Iq4Values(uint indices) {
  return Iq4Byte(indices & 15u) | Iq4Byte(indices >> 8 & 15u) << 8 |
         Iq4Byte(indices >> 16 & 15u) << 16 | Iq4Byte(indices >> 24) << 24;
}
