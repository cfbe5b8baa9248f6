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
// be back at 2^16 in every lane with no word left: checked by Finish. For one thread.
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
inline constexpr uint32_t kMaxLanes = 8;

// One slot of a decoding table: symbol (8 bits), freq - 1 (12), slot - start (12).
using RansSlot = uint32_t;
// Frequencies of 256 symbols that add up to 4096.
using FrequencyTable = std::array<uint16_t, 256>;

// Fills 4096 slots. GS_CHECKs the sum.
void BuildSlots(const FrequencyTable& frequencies, std::span<RansSlot, kProbabilityScale> slots);

// Encodes symbols[i] with tables[table_of[i]]; every symbol's frequency must not be 0.
std::vector<std::byte> RansEncode(std::span<const uint8_t> symbols,
                                  std::span<const uint8_t> table_of,
                                  std::span<const FrequencyTable> tables, uint32_t lanes);

class RansDecoder {
 public:
  // `slots`: table t occupies [t * 4096, (t + 1) * 4096). Spans must outlive the decoder.
  static Result<RansDecoder> Create(std::span<const std::byte> bytes,
                                    std::span<const RansSlot> slots, uint32_t lanes);

  // Decodes table_of.size() more symbols. Damaged input gives wrong symbols, never a wrong access;
  // Finish tells.
  void Decode(std::span<const uint8_t> table_of, uint8_t* symbols);
  uint8_t DecodeOne(uint8_t table);
  // kMalformed unless exactly the encoded symbols were decoded.
  Result<void> Finish() const;

 private:
  RansDecoder() = default;
  void DecodeGroups(std::span<const uint8_t> table_of, uint8_t* symbols);

  std::array<uint32_t, kMaxLanes> states_{};
  const std::byte* next_ = nullptr;
  const std::byte* end_ = nullptr;
  const RansSlot* slots_ = nullptr;
  uint32_t lanes_ = 1;
  uint32_t lane_ = 0;
  bool exhausted_ = false;
};

}  // namespace gguf_shard
