#include "delta/rans.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "core/bytes.h"
#include "core/check.h"
#include "delta/rans_wide.h"

namespace gguf_shard {
namespace {

// What the encoder needs of the symbols of all tables.
struct EncoderSymbols {
  std::vector<uint32_t> multipliers;
  std::vector<uint32_t> packed;
};

void PutEncoderSymbol(uint32_t frequency, uint32_t start, uint32_t& multiplier, uint32_t& packed) {
  const auto bits = static_cast<uint32_t>(std::bit_width(frequency - 1));
  multiplier = static_cast<uint32_t>(
      ((uint64_t{1} << 32) * ((uint64_t{1} << bits) - frequency)) / frequency + 1);
  const uint32_t shift_1 = std::min(bits, 1u);
  const uint32_t shift_2 = bits - shift_1;
  packed = start | (frequency - 1) << 12 | shift_2 << 24 | shift_1 << 28;
}

EncoderSymbols MakeEncoderSymbols(std::span<const FrequencyTable> tables) {
  EncoderSymbols symbols;
  symbols.multipliers.resize(tables.size() * 256);
  symbols.packed.resize(tables.size() * 256);
  for (size_t t = 0; t < tables.size(); ++t) {
    uint32_t start = 0;
    for (size_t s = 0; s < 256; ++s) {
      if (tables[t][s] == 0) continue;
      const size_t entry = t * 256 + s;
      PutEncoderSymbol(tables[t][s], start, symbols.multipliers[entry], symbols.packed[entry]);
      start += tables[t][s];
    }
  }
  return symbols;
}

uint32_t EncodeOne(uint32_t state, uint32_t multiplier, uint32_t packed, uint16_t*& words) {
  const uint32_t start = packed & 0xfff;
  const uint32_t frequency = (packed >> 12 & 0xfff) + 1;
  if (state >> 20 >= frequency) {
    *--words = static_cast<uint16_t>(state);
    state >>= 16;
  }
  const auto high = static_cast<uint32_t>(uint64_t{multiplier} * state >> 32);
  const uint32_t quotient = (high + ((state - high) >> (packed >> 28))) >> (packed >> 24 & 15);
  return (quotient << kProbabilityBits) + (state - quotient * frequency) + start;
}

}  // namespace

void BuildSlots(const FrequencyTable& frequencies, uint32_t shift, std::span<RansSlot> slots) {
  GS_CHECK(slots.size() == kProbabilityScale >> shift);
  size_t next = 0;
  for (uint32_t symbol = 0; symbol < 256; ++symbol) {
    const uint32_t frequency = frequencies[symbol];
    const uint32_t entries = frequency >> shift;
    GS_CHECK(entries << shift == frequency && next + entries <= slots.size());
    for (uint32_t i = 0; i < entries; ++i) {
      slots[next++] = symbol | (frequency - 1) << 8 | i << (20 + shift);
    }
  }
  GS_CHECK(next == slots.size());
}

std::vector<std::byte> RansEncode(std::span<const uint8_t> symbols,
                                  std::span<const uint16_t> contexts,
                                  std::span<const uint8_t> table_of_context,
                                  std::span<const FrequencyTable> tables, uint32_t lanes) {
  GS_CHECK(symbols.size() == contexts.size() && (lanes == 1 || lanes == kMaxLanes));
  const EncoderSymbols encoder = MakeEncoderSymbols(tables);
  std::vector<uint32_t> first_entry(table_of_context.size());
  for (size_t c = 0; c < first_entry.size(); ++c) first_entry[c] = table_of_context[c] * 256u;
  std::array<uint32_t, kMaxLanes> states;
  states.fill(kRansStateLow);
  // A symbol gives at most one word; they are found last to first.
  const auto buffer = std::make_unique_for_overwrite<uint16_t[]>(symbols.size());
  uint16_t* const end = buffer.get() + symbols.size();
  uint16_t* words = end;
  size_t left = symbols.size();
  while (left != 0) {
    if (lanes == kMaxLanes && left % 16 == 0) {
      left -=
          RansEncodeWide({encoder.multipliers.data(), encoder.packed.data(), first_entry.data()},
                         contexts.data(), symbols.data(), left, states.data(), words);
      if (left == 0) break;
    }
    --left;
    const size_t entry = first_entry[contexts[left]] + symbols[left];
    uint32_t& state = states[left % lanes];
    state = EncodeOne(state, encoder.multipliers[entry], encoder.packed[entry], words);
  }
  std::vector<std::byte> bytes(lanes * 4 + static_cast<size_t>(end - words) * 2);
  for (uint32_t lane = 0; lane < lanes; ++lane) StoreLe(bytes.data() + lane * 4, states[lane]);
  if (words != end) {
    std::memcpy(bytes.data() + lanes * 4, words, static_cast<size_t>(end - words) * 2);
  }
  return bytes;
}

Result<RansDecoder> RansDecoder::Create(std::span<const std::byte> bytes, const RansTables& tables,
                                        uint32_t lanes) {
  GS_CHECK(lanes == 1 || lanes == kMaxLanes);
  if (bytes.size() < lanes * 4 || bytes.size() % 2 != 0) {
    return Fail(ErrorCode::kMalformed, "a symbol stream is shorter than its states");
  }
  RansDecoder decoder;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    decoder.states_[lane] = LoadLe<uint32_t>(bytes.data() + lane * 4);
  }
  decoder.next_ = bytes.data() + lanes * 4;
  decoder.end_ = bytes.data() + bytes.size();
  decoder.tables_ = tables;
  decoder.lanes_ = lanes;
  return decoder;
}

uint8_t RansDecoder::DecodeOne(uint16_t context) {
  uint32_t& state = states_[lane_];
  lane_ = lane_ + 1 == lanes_ ? 0 : lane_ + 1;
  const uint32_t first = tables_.first_slot[context];
  largest_first_slot_ = std::max(largest_first_slot_, first);
  const uint32_t place = state % kProbabilityScale;
  const RansSlot slot = tables_.slots[first + (place >> tables_.shift)];
  state = ((slot >> 8 & 0xfff) + 1) * (state >> kProbabilityBits) + (slot >> 20) +
          (place & ((1u << tables_.shift) - 1));
  if (state < kRansStateLow) {
    uint32_t word = 0;
    if (next_ != end_) {
      word = LoadLe<uint16_t>(next_);
      next_ += 2;
    } else {
      exhausted_ = true;
    }
    state = state << 16 | word;
  }
  return static_cast<uint8_t>(slot);
}

void RansDecoder::Decode(const uint16_t* contexts, size_t count, uint8_t* symbols) {
  size_t done = 0;
  if (lanes_ == kMaxLanes && count >= 8) {
    RansDecodeRun run = Lend();
    run.contexts = contexts;
    run.symbols = symbols;
    run.count = count;
    done = RansDecodeWide(run);
    TakeBack(run, done);
  }
  for (; done < count; ++done) symbols[done] = DecodeOne(contexts[done]);
}

RansDecodeRun RansDecoder::Lend() {
  return {states_.data(),
          lanes_,
          lane_,
          next_,
          end_,
          tables_.slots.data(),
          tables_.first_slot.data(),
          tables_.shift,
          largest_first_slot_,
          nullptr,
          nullptr,
          0};
}

void RansDecoder::TakeBack(const RansDecodeRun& run, size_t done) {
  next_ = run.next;
  largest_first_slot_ = run.largest_first_slot;
  lane_ = (lane_ + static_cast<uint32_t>(done)) % lanes_;
}

Result<void> RansDecoder::Finish() const {
  bool complete = !exhausted_ && next_ == end_;
  for (uint32_t lane = 0; lane < lanes_; ++lane) complete &= states_[lane] == kRansStateLow;
  if (complete) return {};
  return Fail(ErrorCode::kMalformed, "a symbol stream does not end where its symbols end");
}

}  // namespace gguf_shard
