#include "delta/rans.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/check.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kStateLow = 1u << 16;

// What the encoder needs of a symbol: division by its frequency as multiplication. For 32-bit
// states and 12-bit frequencies, (state * reciprocal) >> shift is the exact quotient (Alverson,
// "Integer division using reciprocals").
struct EncoderSymbol {
  uint64_t state_limit;  // states at or above give a word first
  uint64_t reciprocal;
  uint32_t shift;
  uint32_t frequency;
  uint32_t start;
};

EncoderSymbol MakeEncoderSymbol(uint32_t frequency, uint32_t start) {
  EncoderSymbol symbol{};
  symbol.state_limit = uint64_t{frequency} << (32 - kProbabilityBits);
  symbol.frequency = frequency;
  symbol.start = start;
  uint32_t bits = 0;
  while ((1u << bits) < frequency) ++bits;
  symbol.shift = 32 + bits;
  symbol.reciprocal = ((uint64_t{1} << symbol.shift) + frequency - 1) / frequency;
  return symbol;
}

std::vector<EncoderSymbol> MakeEncoderSymbols(std::span<const FrequencyTable> tables) {
  std::vector<EncoderSymbol> symbols(tables.size() * 256);
  for (size_t t = 0; t < tables.size(); ++t) {
    uint32_t start = 0;
    for (size_t s = 0; s < 256; ++s) {
      if (tables[t][s] == 0) continue;
      symbols[t * 256 + s] = MakeEncoderSymbol(tables[t][s], start);
      start += tables[t][s];
    }
  }
  return symbols;
}

}  // namespace

void BuildSlots(const FrequencyTable& frequencies, std::span<RansSlot, kProbabilityScale> slots) {
  uint32_t start = 0;
  for (uint32_t symbol = 0; symbol < 256; ++symbol) {
    const uint32_t frequency = frequencies[symbol];
    GS_CHECK(start + frequency <= kProbabilityScale);
    for (uint32_t i = 0; i < frequency; ++i) {
      slots[start + i] = symbol | (frequency - 1) << 8 | i << 20;
    }
    start += frequency;
  }
  GS_CHECK(start == kProbabilityScale);
}

std::vector<std::byte> RansEncode(std::span<const uint8_t> symbols,
                                  std::span<const uint8_t> table_of,
                                  std::span<const FrequencyTable> tables, uint32_t lanes) {
  GS_CHECK(symbols.size() == table_of.size() && lanes >= 1 && lanes <= kMaxLanes);
  const auto encoder_symbols = MakeEncoderSymbols(tables);
  std::array<uint32_t, kMaxLanes> states;
  states.fill(kStateLow);
  std::vector<uint16_t> words;  // last to first
  words.reserve(symbols.size() / 2 + 16);
  for (size_t i = symbols.size(); i-- > 0;) {
    const EncoderSymbol& symbol = encoder_symbols[size_t{table_of[i]} * 256 + symbols[i]];
    uint32_t state = states[i % lanes];
    if (state >= symbol.state_limit) {
      words.push_back(static_cast<uint16_t>(state));
      state >>= 16;
    }
    const auto quotient = static_cast<uint32_t>(
        (static_cast<unsigned __int128>(state) * symbol.reciprocal) >> symbol.shift);
    states[i % lanes] =
        (quotient << kProbabilityBits) + (state - quotient * symbol.frequency) + symbol.start;
  }
  std::vector<std::byte> bytes(lanes * 4 + words.size() * 2);
  for (uint32_t lane = 0; lane < lanes; ++lane) StoreLe(bytes.data() + lane * 4, states[lane]);
  std::reverse(words.begin(), words.end());
  if (!words.empty()) std::memcpy(bytes.data() + lanes * 4, words.data(), words.size() * 2);
  return bytes;
}

Result<RansDecoder> RansDecoder::Create(std::span<const std::byte> bytes,
                                        std::span<const RansSlot> slots, uint32_t lanes) {
  GS_CHECK(lanes >= 1 && lanes <= kMaxLanes);
  if (bytes.size() < lanes * 4 || bytes.size() % 2 != 0) {
    return Fail(ErrorCode::kMalformed, "a symbol stream is shorter than its states");
  }
  RansDecoder decoder;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    decoder.states_[lane] = LoadLe<uint32_t>(bytes.data() + lane * 4);
  }
  decoder.next_ = bytes.data() + lanes * 4;
  decoder.end_ = bytes.data() + bytes.size();
  decoder.slots_ = slots.data();
  decoder.lanes_ = lanes;
  return decoder;
}

uint8_t RansDecoder::DecodeOne(uint8_t table) {
  uint32_t& state = states_[lane_];
  lane_ = lane_ + 1 == lanes_ ? 0 : lane_ + 1;
  const RansSlot slot = slots_[(size_t{table} << kProbabilityBits) + state % kProbabilityScale];
  state = ((slot >> 8 & 0xfff) + 1) * (state >> kProbabilityBits) + (slot >> 20);
  if (state < kStateLow) {
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

// Whole groups of kMaxLanes symbols while the words cannot run out.
void RansDecoder::DecodeGroups(std::span<const uint8_t> table_of, uint8_t* symbols) {
  std::array<uint32_t, kMaxLanes> states = states_;
  const std::byte* next = next_;
  for (size_t i = 0; i < table_of.size(); i += kMaxLanes) {
    for (uint32_t lane = 0; lane < kMaxLanes; ++lane) {
      uint32_t state = states[lane];
      const RansSlot slot =
          slots_[(size_t{table_of[i + lane]} << kProbabilityBits) + state % kProbabilityScale];
      symbols[i + lane] = static_cast<uint8_t>(slot);
      state = ((slot >> 8 & 0xfff) + 1) * (state >> kProbabilityBits) + (slot >> 20);
      // No branch: whether a word is needed is not predictable.
      const uint32_t refilled = state << 16 | LoadLe<uint16_t>(next);
      const bool refill = state < kStateLow;
      states[lane] = refill ? refilled : state;
      next += refill ? 2 : 0;
    }
  }
  states_ = states;
  next_ = next;
}

void RansDecoder::Decode(std::span<const uint8_t> table_of, uint8_t* symbols) {
  size_t done = 0;
  if (lanes_ == kMaxLanes && lane_ == 0) {
    constexpr size_t kGroupWordBytes = kMaxLanes * 2;
    while (table_of.size() - done >= kMaxLanes) {
      // One group takes at most eight words, and looks one further.
      const size_t safe_groups = static_cast<size_t>(end_ - next_ - 2) / kGroupWordBytes;
      if (end_ - next_ < 2 || safe_groups == 0) break;
      const size_t groups = std::min((table_of.size() - done) / kMaxLanes, safe_groups);
      DecodeGroups(table_of.subspan(done, groups * kMaxLanes), symbols + done);
      done += groups * kMaxLanes;
    }
  }
  for (; done < table_of.size(); ++done) symbols[done] = DecodeOne(table_of[done]);
}

Result<void> RansDecoder::Finish() const {
  bool complete = !exhausted_ && next_ == end_;
  for (uint32_t lane = 0; lane < lanes_; ++lane) complete &= states_[lane] == kStateLow;
  if (complete) return {};
  return Fail(ErrorCode::kMalformed, "a symbol stream does not end where its symbols end");
}

}  // namespace gguf_shard
