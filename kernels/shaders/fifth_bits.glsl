// Bits first..first + 3 of `bits`, each as the fifth bit of a weight.
uvec4 FifthBits(uint bits, uint first) {
  return (uvec4(bits) >> (uvec4(0, 1, 2, 3) + first) & 1u) << 4;
}
