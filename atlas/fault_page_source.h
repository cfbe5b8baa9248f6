// A page source that damages what another one delivers, for tests: flipped bits, failed and short
// reads, delays. Deterministic: whether, how and how often a page fails depends only on the seed,
// the page and how often it was read before, not on how reads are joined or which thread comes
// first. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "atlas/page_source.h"

namespace gguf_shard {

enum class PageFault : uint8_t {
  kFlip,       // one bit of the page is wrong
  kIoError,    // the read that contains the page fails
  kShortRead,  // the read that contains the page ends before it
};

struct FaultPlan {
  uint64_t seed = 0;
  // Shares of all pages that have each fault, 0 to 1 (in sum too).
  double flip_share = 0;
  double io_error_share = 0;
  double short_read_share = 0;
  // These pages have a fault in any case.
  std::map<uint64_t, PageFault> pages;

  // Of the reads of a faulty page the first `failing_reads` fail; the same again after every
  // `period` reads of it. A period of 0: only once. {1, 2}: a second read always helps.
  uint32_t failing_reads = 1;
  uint32_t period = 0;

  // Share of reads that are delayed by up to `max_delay`.
  double delay_share = 0;
  std::chrono::microseconds max_delay{0};
};

struct FaultCounts {
  uint64_t flipped_pages = 0;
  uint64_t failed_reads = 0;
  uint64_t short_reads = 0;
  uint64_t delayed_reads = 0;
};

class FaultPageSource final : public PageSource {
 public:
  // `below` must outlive it.
  FaultPageSource(PageSource& below, FaultPlan plan);

  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override;
  std::string Describe() const override;
  std::optional<uint32_t> ListedCrc(uint64_t page) const override { return below_.ListedCrc(page); }

  // Replaces the plan; reads counted so far are forgotten.
  void SetPlan(FaultPlan plan);
  FaultCounts counts() const;

 private:
  std::optional<PageFault> FaultOf(uint64_t page) const;
  // The fault that this read of the page has; counts the read.
  std::optional<PageFault> NextFault(uint64_t page);
  std::chrono::microseconds NextDelay();

  PageSource& below_;
  mutable std::mutex mutex_;  // guards everything below
  FaultPlan plan_;
  std::map<uint64_t, uint64_t> reads_of_page_;  // of faulty pages only
  uint64_t read_count_ = 0;
  FaultCounts counts_;
};

}  // namespace gguf_shard
