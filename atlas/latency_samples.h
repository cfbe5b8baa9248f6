// How long something took, each time: the mean over all times, and quantiles over the newest
// kMostSamples. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gguf_shard {

class LatencySamples {
 public:
  static constexpr size_t kMostSamples = 4096;

  void Add(double seconds) {
    if (samples_.size() < kMostSamples) {
      samples_.push_back(seconds);
    } else {
      samples_[count_ % kMostSamples] = seconds;
    }
    ++count_;
    sum_seconds_ += seconds;
  }

  uint64_t count() const { return count_; }
  double Mean() const { return count_ == 0 ? 0 : sum_seconds_ / static_cast<double>(count_); }
  // share: 0.5 is the median.
  double Quantile(double share) const {
    if (samples_.empty()) return 0;
    std::vector<double> sorted = samples_;
    const auto index = static_cast<size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(index), sorted.end());
    return sorted[index];
  }

 private:
  std::vector<double> samples_;
  uint64_t count_ = 0;
  double sum_seconds_ = 0;
};

}  // namespace gguf_shard
