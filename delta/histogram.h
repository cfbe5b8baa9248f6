// Histograms of symbols per context, joined into a few tables.
//
// A predictor names up to a few hundred raw contexts; most of them behave alike, and each table
// costs bytes in the patch and cache in the decoder. Join() finds few tables such that the bits of
// the symbols plus the bits of the tables are small. Encoder only: what it chooses is written into
// the frame, so its arithmetic need not be reproducible. Thread-safety: plain functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "delta/rans.h"

namespace gguf_shard {

inline constexpr uint8_t kUnusedContext = 255;
inline constexpr uint32_t kMaxTables = 255;

struct Histogram {
  std::array<uint32_t, 256> counts{};
  uint64_t total = 0;
  uint32_t used_symbols = 0;  // symbols below this index only
  double bits = 0;            // entropy of the whole histogram
};

std::vector<Histogram> CountSymbols(std::span<const uint16_t> contexts,
                                    std::span<const uint8_t> symbols, uint32_t context_count);

struct JoinedTables {
  std::vector<uint8_t> table_of_context;  // kUnusedContext where no symbol has the context
  std::vector<FrequencyTable> tables;
};
// Frequencies are multiples of `unit`, a power of two up to 16, unless that would take half a
// percent more bits.
JoinedTables JoinContexts(std::vector<Histogram> histograms, uint32_t max_tables, uint32_t unit);

}  // namespace gguf_shard
