#include "atlas/fault_page_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "core/page.h"

namespace gguf_shard {
namespace {

// SplitMix64's finalizer over a combination of the inputs.
uint64_t Mix(uint64_t seed, uint64_t value, uint64_t salt) {
  uint64_t bits = seed * 0x9e3779b97f4a7c15u + value * 0xd1342543de82ef95u + salt;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

double UnitInterval(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

constexpr uint64_t kFaultSalt = 1;
constexpr uint64_t kBitSalt = 2;
constexpr uint64_t kDelaySalt = 3;

}  // namespace

FaultPageSource::FaultPageSource(PageSource& below, FaultPlan plan)
    : below_(below), plan_(std::move(plan)) {}

void FaultPageSource::SetPlan(FaultPlan plan) {
  const std::lock_guard lock(mutex_);
  plan_ = std::move(plan);
  reads_of_page_.clear();
}

FaultCounts FaultPageSource::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

std::string FaultPageSource::Describe() const { return below_.Describe() + ", with faults"; }

std::optional<PageFault> FaultPageSource::FaultOf(uint64_t page) const {
  if (const auto named = plan_.pages.find(page); named != plan_.pages.end()) return named->second;
  double place = UnitInterval(Mix(plan_.seed, page, kFaultSalt));
  if (place < plan_.flip_share) return PageFault::kFlip;
  place -= plan_.flip_share;
  if (place < plan_.io_error_share) return PageFault::kIoError;
  place -= plan_.io_error_share;
  if (place < plan_.short_read_share) return PageFault::kShortRead;
  return std::nullopt;
}

std::optional<PageFault> FaultPageSource::NextFault(uint64_t page) {
  const std::lock_guard lock(mutex_);
  const auto fault = FaultOf(page);
  if (!fault) return std::nullopt;
  uint64_t read = reads_of_page_[page]++;
  if (plan_.period > 0) read %= plan_.period;
  if (read >= plan_.failing_reads) return std::nullopt;
  return fault;
}

std::chrono::microseconds FaultPageSource::NextDelay() {
  const std::lock_guard lock(mutex_);
  const uint64_t bits = Mix(plan_.seed, read_count_++, kDelaySalt);
  if (plan_.max_delay.count() <= 0 || UnitInterval(bits) >= plan_.delay_share) return {};
  ++counts_.delayed_reads;
  const auto longest = static_cast<uint64_t>(plan_.max_delay.count());
  return std::chrono::microseconds(1 + Mix(bits, 0, kDelaySalt) % longest);
}

Result<void> FaultPageSource::Read(uint64_t first_page, std::span<std::byte> target) {
  if (const auto delay = NextDelay(); delay.count() > 0) std::this_thread::sleep_for(delay);
  auto read = below_.Read(first_page, target);
  if (!read) return read;
  // Every page of the read is counted, also behind one that fails.
  std::optional<Error> failure;
  for (uint64_t i = 0; i < target.size() / kPageBytes; ++i) {
    const uint64_t page = first_page + i;
    const auto fault = NextFault(page);
    if (!fault) continue;
    const std::lock_guard lock(mutex_);
    if (*fault == PageFault::kFlip) {
      const uint64_t bit = Mix(plan_.seed, page, kBitSalt) % (kPageBytes * 8);
      PageAt(target.data(), i)[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
      ++counts_.flipped_pages;
      continue;
    }
    const bool is_short = *fault == PageFault::kShortRead;
    ++(is_short ? counts_.short_reads : counts_.failed_reads);
    if (failure) continue;
    failure = Error(is_short ? ErrorCode::kTruncated : ErrorCode::kIo,
                    is_short ? "injected: the read ended early" : "injected: the read failed")
                  .Page(page);
  }
  if (!failure) return {};
  // Whoever uses the bytes of a failed read in spite of its error shall notice.
  std::fill(target.begin(), target.end(), std::byte{0xa5});
  return Fail(std::move(*failure));
}

}  // namespace gguf_shard
