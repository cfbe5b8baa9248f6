// The low four bits of `bits`, each as the fifth bit of a byte.
uint FifthBits(uint bits) {
  return (bits & 1u) << 4 | (bits & 2u) << 11 | (bits & 4u) << 18 | (bits & 8u) << 25;
}
