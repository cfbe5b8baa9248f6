// The f16 fields d and m of a batch of groups, written or read: what differs between the two is
// inside `Streams` (delta/stream_set.h). docs/FORMAT-DELTA.md, "d and m". For one thread.
#pragma once

#include "delta/group_batch.h"
#include "delta/tokens.h"

namespace gguf_shard {

template <typename Streams>
class HalfCoder {
 public:
  HalfCoder(const GroupShape& shape, Streams& streams) : shape_(shape), streams_(streams) {}

  // Of at most `most` blocks of each group, from `first` on.
  void Code(std::span<CodedGroup> groups, uint32_t first, uint32_t most) {
    const bool has_m = shape_.target.has_m;
    CodeSymbols(d_, kD, &QuantGroup::d, groups, first, most);
    if (has_m) CodeSymbols(m_, kM, &QuantGroup::m, groups, first, most);
    uint32_t at = 0;
    for (CodedGroup& group : groups) {
      const uint32_t end = first + Count(group, most);
      for (uint32_t i = first; i < end; ++i, ++at) {
        CodeBits(d_.predicted[at], d_.symbols[at], group.target.d[i]);
        if (has_m) CodeBits(m_.predicted[at], m_.symbols[at], group.target.m[i]);
      }
      d_.last = group.target.d[end - 1];
      m_.last = group.target.m[end - 1];
    }
  }

 private:
  // One of the two fields: what its symbols are coded with; the raw bits come later.
  struct Halves {
    Fields<uint16_t, 8> predicted{};
    Fields<uint16_t, 8> contexts{};
    Fields<uint8_t, 8> symbols{};
    uint16_t last = 0;
  };

  uint32_t Count(const CodedGroup& group, uint32_t most) const {
    return std::min(most, shape_.BlockCount(group.weight_count));
  }

  void CodeSymbols(Halves& halves, QuantStream stream, std::array<uint16_t, 8> QuantGroup::*field,
                   std::span<const CodedGroup> groups, uint32_t first, uint32_t most) {
    uint32_t at = 0;
    for (const CodedGroup& group : groups) {
      const uint32_t count = Count(group, most);
      for (uint32_t i = 0; i < count; ++i) {
        halves.predicted[at + i] = shape_.same_type ? (group.base.*field)[first + i] : halves.last;
      }
      PutContexts(halves, at, count, group.noise);
      if constexpr (!Streams::kReads) {
        for (uint32_t i = 0; i < count; ++i) {
          const uint16_t predicted = halves.predicted[at + i];
          const uint16_t value = (group.target.*field)[first + i];
          const uint32_t flip = (value ^ predicted) >> 15;
          halves.symbols[at + i] = static_cast<uint8_t>(
              2 * SignedSymbol((value & 0x7fff) - (predicted & 0x7fff)) + flip);
        }
      }
      at += count;
    }
    streams_.CodeMany(stream, halves.contexts.data(), at, halves.symbols.data());
  }

  static void PutContexts(Halves& halves, uint32_t at, uint32_t count, int32_t noise) {
    constexpr auto kLast = static_cast<int32_t>(kHalfContexts - 1);
    if (count < 8) {
      for (uint32_t i = at; i < at + count; ++i) {
        halves.contexts[i] = static_cast<uint16_t>(
            LevelClass(ScaleLevel(ScaleFromF16(halves.predicted[i])), noise, 20, kLast));
      }
      return;
    }
    std::array<uint16_t, 8> predicted;
    std::copy_n(halves.predicted.begin() + at, 8, predicted.begin());
    ScaleRow scales;
    Row<int32_t> levels;
    ScalesOfHalves(predicted, scales);
    ScaleLevels(scales, levels);
    for (uint32_t i = 0; i < 8; ++i) {
      halves.contexts[at + i] = static_cast<uint16_t>(LevelClass(levels[i], noise, 20, kLast));
    }
  }

  void CodeBits(uint16_t predicted, uint8_t symbol, uint16_t& value) {
    const int32_t difference = (value & 0x7fff) - (predicted & 0x7fff);
    const auto signed_symbol = static_cast<uint8_t>(symbol / 2);
    const auto magnitude = static_cast<int32_t>(streams_.CodeMagnitude(
        SymbolToken(signed_symbol), static_cast<uint32_t>(std::abs(difference))));
    const int32_t sum = (predicted & 0x7fff) + ((signed_symbol & 1) != 0 ? magnitude : -magnitude);
    value = static_cast<uint16_t>((sum & 0x7fff) |
                                  (((predicted >> 15) ^ static_cast<uint32_t>(symbol & 1)) << 15));
  }

  const GroupShape& shape_;
  Streams& streams_;
  Halves d_;
  Halves m_;
};

}  // namespace gguf_shard
