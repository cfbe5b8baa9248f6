// F16: 16-bit floats.
#define ELEMENT_BYTES 2
#include "kernels/shaders/element.glsl"

float Element(Words page, uint index) { return HalfToFloat(HalfWord(page, index)); }
