// Interleaved range variant of asymmetric numeral systems (rANS) with static tables.
//
// Probabilities have 12 bits; a state is a u32 in [2^16, 2^32) and gives or takes 16-bit words.
// Symbol i belongs to lane i % lanes; all lanes share one sequence of words, in the order in which
// the decoder needs them:
//
//   [state u32] x lanes, [word u16] x n
//
//   slot = state mod 4096          symbol = the one whose [start, start + freq) holds the slot
//   state = freq * (state / 4096) + slot - start
//   if state < 2^16: state = state * 2^16 + next word
//
// The encoder starts every lane at 2^16 and runs backwards, so a decoder that has all symbols must
// be back at 2^16 in every lane with no word left: checked by Finish. With 32 lanes, whole runs of
// 8 or 16 symbols are coded by wide instructions (delta/rans_wide.h). For one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

inline constexpr uint32_t kProbabilityBits = 12;
inline constexpr uint32_t kProbabilityScale = 1u << kProbabilityBits;
inline constexpr uint32_t kMaxLanes = 32;
inline constexpr uint32_t kRansStateLow = 1u << 16;

// An entry of a decoding table: symbol (8 bits), freq - 1 (12), first slot of the entry - start
// (12). Where all frequencies are multiples of 2^shift, an entry stands for so many slots: small
// tables stay in the first cache.
using RansSlot = uint32_t;
// Frequencies of 256 symbols that add up to 4096.
using FrequencyTable = std::array<uint16_t, 256>;

inline constexpr uint32_t kMaxSlotShift = 4;
// Fills 4096 >> shift entries. GS_CHECKs the sum and the multiples.
void BuildSlots(const FrequencyTable& frequencies, uint32_t shift, std::span<RansSlot> slots);

// Tables of one shift, one after the other.
struct RansTables {
  std::span<const RansSlot> slots;
  std::span<const uint32_t> first_slot;  // of each context's table
  uint32_t shift;
};
struct RansDecodeRun;  // delta/rans_wide.h

// Encodes symbols[i] with tables[table_of_context[contexts[i]]]; every symbol's frequency must not
// be 0. `lanes` is 1 or 32.
std::vector<std::byte> RansEncode(std::span<const uint8_t> symbols,
                                  std::span<const uint16_t> contexts,
                                  std::span<const uint8_t> table_of_context,
                                  std::span<const FrequencyTable> tables, uint32_t lanes);

class RansDecoder {
 public:
  // What `tables` points to must outlive the decoder. `lanes` is 1 or 32.
  static Result<RansDecoder> Create(std::span<const std::byte> bytes, const RansTables& tables,
                                    uint32_t lanes);

  // Decodes `count` more symbols, each under its context (an index of first_slot). Damaged input
  // gives wrong symbols, never a wrong access; Finish tells.
  void Decode(const uint16_t* contexts, size_t count, uint8_t* symbols);
  uint8_t DecodeOne(uint16_t context);
  // For who decodes by himself: where the decoder stands (states are its own), and, afterwards,
  // where it is `done` symbols later.
  RansDecodeRun Lend();
  void TakeBack(const RansDecodeRun& run, size_t done);
  // The largest first slot of all contexts seen.
  uint32_t largest_first_slot() const { return largest_first_slot_; }
  // kMalformed unless exactly the encoded symbols were decoded.
  Result<void> Finish() const;

 private:
  RansDecoder() = default;

  alignas(64) std::array<uint32_t, kMaxLanes> states_{};
  const std::byte* next_ = nullptr;
  const std::byte* end_ = nullptr;
  RansTables tables_;
  uint32_t largest_first_slot_ = 0;
  uint32_t lanes_ = 1;
  uint32_t lane_ = 0;
  bool exhausted_ = false;
};

}  // namespace gguf_shard
