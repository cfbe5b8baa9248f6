// F32: 32-bit floats.
#define ELEMENT_BYTES 4
#include "kernels/shaders/element.glsl"

float Element(Words page, uint index) { return uintBitsToFloat(page.at[index]); }
