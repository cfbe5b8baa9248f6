// Rows of the key/value cache on the device: whole words, so that no 8- or 16-bit access is needed.
//
//   f32   [n words]
//   f16   [ceil(n / 2) words], two values each
//   q8_0  [n / 4 words of four int8][n / 32 scales, f32]
//
// A layer's rows: [key/value head]{[position] x key row, [position] x value row}.
const uint kKvF32 = 0;
const uint kKvF16 = 1;

layout(constant_id = 1) const uint kKvType = 0;
layout(constant_id = 2) const uint kKeyLength = 128;
layout(constant_id = 3) const uint kValueLength = 128;

uint RowWords(uint count) {
  if (kKvType == kKvF32) return count;
  return kKvType == kKvF16 ? (count + 1) / 2 : count / 4 + count / 32;
}

// The first word of a head's row of keys (values) at `position`; the cache holds `positions`.
uint KeyRow(uint head, uint position, uint positions) {
  const uint head_words = positions * (RowWords(kKeyLength) + RowWords(kValueLength));
  return head * head_words + position * RowWords(kKeyLength);
}

uint ValueRow(uint head, uint position, uint positions) {
  return KeyRow(head, positions, positions) + position * RowWords(kValueLength);
}
