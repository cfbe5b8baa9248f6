#version 460
// The tags of pages, computed where the pages lie: crc32(crc32(0, context, 16), content, 4088) of
// core/page.h, one workgroup to a page at a time.
//
// Invocation l takes the words l, l + 64, l + 128, ... of the content, so that loads are adjacent.
// A CRC is a polynomial over GF(2) modulo zlib's: with x the polynomial's variable, the register
// after n words is the sum of word[i] * x^(32 * (n - i)). Each invocation sums its words with
// x^(32 * 64) between them (by tables of its product with each byte), multiplies its sum by
// x^(32 * (64 - l)), and the workgroup adds the products. The context goes before: the register
// after it is added to the first word.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x = 64) in;

const uint kContentWords = 1022;
const uint kPageWords = 1024;
const uint kRounds = 16;    // 1024 words: two zeros, then the content
const uint kPadding = 2;
const uint kPolynomial = 0xEDB88320u;

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Results {
  uvec4 at[];  // computed CRC, stored CRC, magic, 0
};

layout(push_constant) uniform Push {
  Words pages;      // page_count of them, one after another
  Results results;
  Words tables;     // 4 * 256 products of a byte and x^2048, then x^(32 * (64 - l)) for each l
  uint id_register;  // after the core's id
  uint first_page_low;
  uint first_page_high;
  uint page_count;
} push;

shared uint tables[1024];
shared uint context_register;
shared uint sum;

uint TimesX32(uint value) {
  for (uint i = 0; i < 32; ++i) value = (value >> 1) ^ ((value & 1u) * kPolynomial);
  return value;
}

// Bit 31 is the coefficient of x^0.
uint Product(uint a, uint b) {
  uint product = 0;
  for (uint i = 0; i < 32; ++i) {
    product ^= b & (0u - (a >> 31));
    a <<= 1;
    b = (b >> 1) ^ ((b & 1u) * kPolynomial);
  }
  return product;
}

uint TimesX2048(uint value) {
  return tables[value & 255u] ^ tables[256u + ((value >> 8) & 255u)] ^
         tables[512u + ((value >> 16) & 255u)] ^ tables[768u + (value >> 24)];
}

void BeginPage(uint page) {
  uint carry;
  const uint low = uaddCarry(push.first_page_low, page, carry);
  const uint high = push.first_page_high + carry;
  context_register = TimesX32(TimesX32(push.id_register ^ low) ^ high);
  sum = 0;
}

uint SumOfWords(uint lane, uint first_word) {
  uint words[kRounds];
  [[unroll]] for (uint round = 0; round < kRounds; ++round) {
    const uint i = round * 64 + lane;
    words[round] = i < kPadding ? 0u : push.pages.at[first_word + i - kPadding];
  }
  if (lane == kPadding) words[0] ^= context_register;
  uint value = 0;
  [[unroll]] for (uint round = 0; round < kRounds; ++round) value = TimesX2048(value) ^ words[round];
  return value;
}

void main() {
  const uint lane = gl_LocalInvocationID.x;
  for (uint i = lane; i < 1024; i += 64) tables[i] = push.tables.at[i];
  const uint weight = push.tables.at[1024 + lane];
  for (uint page = gl_WorkGroupID.x; page < push.page_count; page += gl_NumWorkGroups.x) {
    if (lane == 0) BeginPage(page);
    barrier();
    const uint first_word = page * kPageWords;
    atomicXor(sum, Product(SumOfWords(lane, first_word), weight));
    barrier();
    if (lane == 0) {
      push.results.at[page] =
          uvec4(~sum, push.pages.at[first_word + kContentWords],
                push.pages.at[first_word + kContentWords + 1], 0);
    }
  }
}
