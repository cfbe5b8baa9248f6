// Rows of the token embedding as floats: out[i] = table[token i]. The host says where each token's
// row begins: a page of the core, and in it a block (row_major) or a tile row (column_major).
#ifndef ELEMENTS
#include "kernels/shaders/decode_unit.glsl"
#endif

layout(local_size_x_id = 3) in;

layout(push_constant) uniform Push {
  PageTable table;
  Places places;  // by token: page, block or tile row
  Floats values;  // [token][stride]
  uint columns;
  uint stride;
  uint first_token;
} push;

#ifdef ELEMENTS
void main() {
  const uint column = gl_GlobalInvocationID.x;
  if (column >= push.columns) return;
  const uint token = push.first_token + gl_WorkGroupID.y;
  const uvec2 place = push.places.at[token];
  uint page = place.x;
  uint index;
  if (kRowMajor) {
    const uint page_elements = 4088 / ELEMENT_BYTES;
    page += (place.y + column) / page_elements;
    index = (place.y + column) % page_elements;
  } else {
    page += column / kTileColumns;
    index = column % kTileColumns * kTileRows + place.y;
  }
  push.values.at[token * push.stride + column] = Element(push.table.pages[page], index);
}
#else
Block FindBlock(uvec2 place, uint block) {
  if (kRowMajor) {
    const uint page_blocks = 4088 / BLOCK_BYTES;
    const uint index = place.y + block;
    return BlockOfRowMajorPage(push.table.pages[place.x + index / page_blocks],
                               index % page_blocks);
  }
  const uint tile_blocks = kTileColumns / BLOCK_WEIGHTS;
  return BlockOfTile(push.table.pages[place.x + block / tile_blocks], place.y,
                     block % tile_blocks);
}

void main() {
  const uint unit = gl_GlobalInvocationID.x;
  if (unit * 32 >= push.columns) return;
  const uint token = push.first_token + gl_WorkGroupID.y;
  vec4 weights[8];
  Decode(FindBlock(push.places.at[token], unit / kUnitsPerBlock), unit % kUnitsPerBlock, weights);
  const uint first = token * push.stride + unit * 32;
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    [[unroll]] for (uint j = 0; j < 4; ++j) push.values.at[first + i * 4 + j] = weights[i][j];
  }
}
#endif
