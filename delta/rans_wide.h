// rANS by wide instructions: the same bits as delta/rans.cc, many lanes at a time. Each function
// says how many symbols it handled; the caller does the rest one by one. On other processors than
// x86-64 they handle none. Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "delta/rans.h"

namespace gguf_shard {

// A run of symbols to decode. Symbol 0 belongs to `lane`.
struct RansDecodeRun {
  uint32_t* states;
  uint32_t lanes;  // 32, or there is nothing wide about it
  uint32_t lane;
  const std::byte* next;  // moved on
  const std::byte* end;
  const RansSlot* slots;
  const uint32_t* first_slot;
  uint32_t shift;
  uint32_t largest_first_slot;  // raised
  const uint16_t* contexts;
  uint8_t* symbols;
  size_t count;
};
size_t RansDecodeWide(RansDecodeRun& run);

// Division by a frequency without dividing (Granlund and Montgomery, "Division by invariant
// integers using multiplication"), exact for all 32-bit numbers:
//   high = (multiplier * x) >> 32;  quotient = (high + ((x - high) >> shift_1)) >> shift_2
struct RansEncodeTables {
  const uint32_t* multipliers;  // by table * 256 + symbol
  const uint32_t* packed;       // start (12 bits), freq - 1 (12), shift_2 (4), shift_1 (1)
  const uint32_t* first_entry;  // table * 256 of each context
};

// Symbols in front of `count`, a multiple of 16, coded backwards; `words` is where the words coded
// so far begin, and is moved down.
size_t RansEncodeWide(const RansEncodeTables& tables, const uint16_t* contexts,
                      const uint8_t* symbols, size_t count, uint32_t* states, uint16_t*& words);

}  // namespace gguf_shard
