// Where the words of a quantized block lie: in the planes of a tile, or one after another in a
// row_major page (core/tile.h). A decoder defines BLOCK_WEIGHTS, BLOCK_BYTES, SHORT_OFFSET and
// SHORT_BYTES, includes this, and reads a block with Word() and Short() alone:
//
//   void Unpack(Block block, uint unit, out uint q[8], out vec2 scales, out vec2 mins)
//
// gives the 32 weights of unit `unit` (of BLOCK_WEIGHTS / 32), in the order of columns: four int8 to
// a word of q, and w = scales[i] * q - mins[i] for the first (i = 0) and second 16 of them.
#include "kernels/shaders/half.glsl"
#include "kernels/shaders/memory.glsl"

layout(constant_id = 0) const uint kTileRows = 1;
layout(constant_id = 1) const uint kTileColumns = 256;

const uint kWordsPerBlock = (BLOCK_BYTES - SHORT_BYTES) / 4;
const uint kWordsOffset = SHORT_OFFSET == 0 ? SHORT_BYTES : 0;
const uint kUnitsPerBlock = BLOCK_WEIGHTS / 32;

struct Block {
  Words page;
  uint first;        // tile: index of word 0; row_major: byte offset of the block
  uint short_first;  // byte offset of the short field
};

#ifdef ROW_MAJOR_TOO
layout(constant_id = 2) const bool kRowMajor = false;
#else
const bool kRowMajor = false;
#endif

Block BlockOfTile(Words page, uint row, uint block) {
  const uint blocks_per_row = kTileColumns / BLOCK_WEIGHTS;
  const uint short_planes = blocks_per_row * kWordsPerBlock * kTileRows * 4;
  return Block(page, block * kWordsPerBlock * kTileRows + row,
               short_planes + (block * kTileRows + row) * SHORT_BYTES);
}

Block BlockOfRowMajorPage(Words page, uint block) {
  return Block(page, block * BLOCK_BYTES + kWordsOffset, block * BLOCK_BYTES + SHORT_OFFSET);
}

uint Word(Block block, uint word) {
  if (!kRowMajor) return block.page.at[block.first + word * kTileRows];
  const uint byte = block.first + word * 4;
  const uint shift = byte % 4 * 8;
  const uint low = block.page.at[byte / 4] >> shift;
  return shift == 0 ? low : low | block.page.at[byte / 4 + 1] << (32 - shift);
}

// The bytes of the short field; a short of two bytes may straddle words in a row_major page.
uint ShortByte(Block block, uint index) {
  const uint byte = block.short_first + index;
  return block.page.at[byte / 4] >> byte % 4 * 8 & 0xffu;
}

float ShortHalf(Block block) {
  if (kRowMajor) return HalfToFloat(ShortByte(block, 0) | ShortByte(block, 1) << 8);
  return HalfToFloat(block.page.at[block.short_first / 4] >> block.short_first % 4 * 8 & 0xffffu);
}

// Byte `index` of the block's words.
uint ByteOfWords(Block block, uint index) {
  return Word(block, index / 4) >> index % 4 * 8 & 0xffu;
}

const uint kNibbles = 0x0f0f0f0fu;

// The bytes of a word.
vec4 SignedBytes(uint word) {
  return vec4(ivec4(int(word << 24), int(word << 16), int(word << 8), int(word)) >> 24);
}
