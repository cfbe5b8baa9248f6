// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minima in the 12 bytes of words 1 to 3. The
// first four of each are the low six bits of words 1 and 2; the others have their low bits in the
// nibbles of word 3 and their top two bits in the top of words 1 and 2.
uvec2 SixBitScaleMin(Block block, uint sub) {
  const uint shift = sub % 4 * 8;
  const uvec2 tops = uvec2(Word(block, 1), Word(block, 2)) >> shift & 0xffu;
  if (sub < 4) return tops & 63u;
  const uint nibbles = Word(block, 3) >> shift & 0xffu;
  return uvec2(nibbles & 15u, nibbles >> 4) | tops >> 6 << 4;
}
