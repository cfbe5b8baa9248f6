// BF16: the upper halves of 32-bit floats.
#define ELEMENT_BYTES 2
#include "kernels/shaders/element.glsl"

float Element(Words page, uint index) { return Bfloat16ToFloat(HalfWord(page, index)); }
