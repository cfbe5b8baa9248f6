// Types whose blocks are single weights. A decoder defines ELEMENT_BYTES, includes this, and gives
//
//   float Element(Words page, uint index)
//
// for the weight `index` of a page; in a tile that is column * kTileRows + row.
#include "kernels/shaders/half.glsl"
#include "kernels/shaders/memory.glsl"

#define ELEMENTS
layout(constant_id = 0) const uint kTileRows = 1;
layout(constant_id = 1) const uint kTileColumns = 16;

#ifdef ROW_MAJOR_TOO
layout(constant_id = 2) const bool kRowMajor = false;
#endif

uint HalfWord(Words page, uint index) { return page.at[index / 2] >> index % 2 * 16 & 0xffffu; }
