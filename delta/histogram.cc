#include "delta/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/check.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kLogTableSize = 4096;
// What a table costs in the frame: about this many bits per symbol, and for itself.
constexpr double kBitsPerTableSymbol = 7;
constexpr double kBitsPerTable = 16;
constexpr double kMostUnitCost = 1.005;

// n * log2(n), from a table for small n.
double NLogN(uint32_t n) {
  static const std::vector<float> kTable = [] {
    std::vector<float> table(kLogTableSize, 0.0F);
    for (uint32_t i = 1; i < kLogTableSize; ++i) {
      table[i] = static_cast<float>(i * std::log2(static_cast<double>(i)));
    }
    return table;
  }();
  return n < kLogTableSize ? static_cast<double>(kTable[n])
                           : n * static_cast<double>(std::log2(static_cast<float>(n)));
}

double TotalBits(uint64_t total) {
  return total == 0 ? 0 : static_cast<double>(total) * std::log2(static_cast<double>(total));
}

double Bits(const Histogram& h) {
  double bits = TotalBits(h.total);
  for (uint32_t s = 0; s < h.used_symbols; ++s) bits -= NLogN(h.counts[s]);
  return bits;
}

double TableBits(const Histogram& h) {
  const auto present = std::count_if(h.counts.begin(), h.counts.begin() + h.used_symbols,
                                     [](uint32_t count) { return count != 0; });
  return kBitsPerTable + kBitsPerTableSymbol * static_cast<double>(present);
}

// The bits lost when both share one table.
double JoinLoss(const Histogram& a, const Histogram& b) {
  double bits = TotalBits(a.total + b.total);
  const uint32_t used = std::max(a.used_symbols, b.used_symbols);
  for (uint32_t s = 0; s < used; ++s) bits -= NLogN(a.counts[s] + b.counts[s]);
  return bits - a.bits - b.bits;
}

void AddTo(Histogram& a, const Histogram& b) {
  for (uint32_t s = 0; s < b.used_symbols; ++s) a.counts[s] += b.counts[s];
  a.total += b.total;
  a.used_symbols = std::max(a.used_symbols, b.used_symbols);
  a.bits = Bits(a);
}

// Starts with the largest context; then, again and again, the context that loses most in its best
// cluster becomes a cluster of its own, as long as that saves more than its table costs.
struct Clusters {
  std::vector<Histogram> sums;
  std::vector<uint32_t> of_context;
};

Clusters Assign(std::span<const Histogram> contexts, std::span<const uint32_t> used,
                uint32_t max_tables) {
  Clusters clusters;
  clusters.of_context.assign(contexts.size(), 0);
  std::vector<double> loss(contexts.size(), 0.0);
  std::vector<Histogram> seeds;
  uint32_t next_seed = used[0];
  while (true) {
    const auto cluster = static_cast<uint32_t>(seeds.size());
    seeds.push_back(contexts[next_seed]);
    double worst = 0;
    for (const uint32_t c : used) {
      const double here = c == next_seed ? 0 : JoinLoss(seeds.back(), contexts[c]);
      if (cluster == 0 || here < loss[c]) {
        loss[c] = here;
        clusters.of_context[c] = cluster;
      }
      const double gain = loss[c] - TableBits(contexts[c]);
      if (gain > worst) {
        worst = gain;
        next_seed = c;
      }
    }
    if (worst <= 0 || seeds.size() == max_tables) break;
  }
  clusters.sums.resize(seeds.size());
  for (const uint32_t c : used) AddTo(clusters.sums[clusters.of_context[c]], contexts[c]);
  return clusters;
}

// Joins the pair of clusters that saves most, while any saves.
void JoinClusters(Clusters& clusters, std::span<const uint32_t> used) {
  auto& sums = clusters.sums;
  const size_t count = sums.size();
  std::vector<double> saving(count * count, 0.0);
  const auto Saving = [&](size_t a, size_t b) {
    Histogram joined = sums[a];
    AddTo(joined, sums[b]);
    return TableBits(sums[a]) + TableBits(sums[b]) - TableBits(joined) -
           (joined.bits - sums[a].bits - sums[b].bits);
  };
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = a + 1; b < count; ++b) saving[a * count + b] = Saving(a, b);
  }
  while (true) {
    const auto best = std::max_element(saving.begin(), saving.end());
    if (best == saving.end() || *best <= 0) break;
    const size_t a = static_cast<size_t>(best - saving.begin()) / count;
    const size_t b = static_cast<size_t>(best - saving.begin()) % count;
    AddTo(sums[a], sums[b]);
    sums[b] = Histogram{};
    for (const uint32_t c : used) {
      if (clusters.of_context[c] == b) clusters.of_context[c] = static_cast<uint32_t>(a);
    }
    for (size_t other = 0; other < count; ++other) {
      saving[std::min(b, other) * count + std::max(b, other)] = 0;
      if (other == a || sums[other].total == 0) continue;
      saving[std::min(a, other) * count + std::max(a, other)] =
          Saving(std::min(a, other), std::max(a, other));
    }
  }
}

// Counts scaled to a sum of 4096, in whole units, every present symbol at least one.
FrequencyTable Normalize(const Histogram& h, uint32_t unit) {
  FrequencyTable table{};
  const uint32_t scale = kProbabilityScale / unit;
  int64_t left = scale;
  uint32_t largest = 0;
  for (uint32_t s = 0; s < h.used_symbols; ++s) {
    if (h.counts[s] == 0) continue;
    const uint64_t scaled = (uint64_t{h.counts[s]} * scale + h.total / 2) / h.total;
    table[s] = static_cast<uint16_t>(std::max<uint64_t>(scaled, 1));
    left -= table[s];
    if (h.counts[s] > h.counts[largest]) largest = s;
  }
  // Rounding up many rare symbols can take more than the largest has: then all large ones pay.
  while (left < 0 && table[largest] < -left + 1) {
    for (uint32_t s = 0; s < h.used_symbols && left < 0; ++s) {
      if (table[s] > 1) {
        --table[s];
        ++left;
      }
    }
  }
  table[largest] = static_cast<uint16_t>(table[largest] + left);
  for (uint16_t& frequency : table) frequency = static_cast<uint16_t>(frequency * unit);
  return table;
}

std::vector<FrequencyTable> NormalizeAll(std::span<const Histogram> histograms, uint32_t unit) {
  std::vector<FrequencyTable> tables;
  for (const Histogram& h : histograms) tables.push_back(Normalize(h, unit));
  return tables;
}

// What coding with these tables takes.
double CodedBits(std::span<const Histogram> histograms, std::span<const FrequencyTable> tables) {
  double bits = 0;
  for (size_t t = 0; t < tables.size(); ++t) {
    for (uint32_t s = 0; s < histograms[t].used_symbols; ++s) {
      if (histograms[t].counts[s] == 0) continue;
      bits += histograms[t].counts[s] *
              std::log2(static_cast<double>(kProbabilityScale) / tables[t][s]);
    }
  }
  return bits;
}

}  // namespace

std::vector<Histogram> CountSymbols(std::span<const uint16_t> contexts,
                                    std::span<const uint8_t> symbols, uint32_t context_count) {
  GS_CHECK(contexts.size() == symbols.size());
  std::vector<Histogram> histograms(context_count);
  for (size_t i = 0; i < symbols.size(); ++i) ++histograms[contexts[i]].counts[symbols[i]];
  for (Histogram& h : histograms) {
    for (uint32_t s = 0; s < 256; ++s) {
      if (h.counts[s] == 0) continue;
      h.total += h.counts[s];
      h.used_symbols = s + 1;
    }
    h.bits = Bits(h);
  }
  return histograms;
}

JoinedTables JoinContexts(std::vector<Histogram> histograms, uint32_t max_tables, uint32_t unit) {
  GS_CHECK(max_tables >= 1 && max_tables <= kMaxTables);
  JoinedTables joined;
  joined.table_of_context.assign(histograms.size(), kUnusedContext);
  std::vector<uint32_t> used;
  for (uint32_t c = 0; c < histograms.size(); ++c) {
    if (histograms[c].total != 0) used.push_back(c);
  }
  if (used.empty()) return joined;
  std::stable_sort(used.begin(), used.end(), [&](uint32_t a, uint32_t b) {
    return histograms[a].total > histograms[b].total;
  });
  Clusters clusters = Assign(histograms, used, max_tables);
  JoinClusters(clusters, used);
  std::vector<uint8_t> table_of_cluster(clusters.sums.size(), 0);
  std::vector<Histogram> sums;
  for (size_t i = 0; i < clusters.sums.size(); ++i) {
    if (clusters.sums[i].total == 0) continue;
    table_of_cluster[i] = static_cast<uint8_t>(sums.size());
    sums.push_back(clusters.sums[i]);
  }
  joined.tables = NormalizeAll(sums, 1);
  if (auto coarse = NormalizeAll(sums, unit);
      CodedBits(sums, coarse) <= kMostUnitCost * CodedBits(sums, joined.tables)) {
    joined.tables = std::move(coarse);
  }
  for (const uint32_t c : used) {
    joined.table_of_context[c] = table_of_cluster[clusters.of_context[c]];
  }
  return joined;
}

}  // namespace gguf_shard
