// Times work on a device's queue: a submission that repeats the work until it takes long enough, a
// few times over, in turns with other work where two are compared. For one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "gpu/device.h"
#include "gpu/queue.h"

namespace gguf_shard {

// Records the work once.
using RecordWork = std::function<Result<void>(gpu::Commands&)>;

inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class QueueTimer {
 public:
  explicit QueueTimer(gpu::Queue& queue) : queue_(queue) {}

  // Seconds of one submission of `repeats` of the work, each after the one before.
  Result<double> Once(const RecordWork& work, uint32_t repeats) {
    GS_ASSIGN(auto commands, queue_.Begin());
    for (uint32_t i = 0; i < repeats; ++i) {
      GS_TRY(work(commands));
      commands.Barrier();
    }
    const auto start = std::chrono::steady_clock::now();
    GS_ASSIGN(const auto point, queue_.Submit(std::move(commands)));
    GS_TRY(queue_.Wait(point.value));
    return SecondsSince(start);
  }

  struct Pair {
    double first;   // seconds of one
    double second;  // of the other, measured in turns with it
  };
  // Medians of kRounds.
  Result<Pair> Compare(const RecordWork& first, const RecordWork& second) {
    GS_ASSIGN(const uint32_t first_repeats, RepeatsOf(first));
    GS_ASSIGN(const uint32_t second_repeats, RepeatsOf(second));
    std::vector<double> firsts;
    std::vector<double> seconds;
    for (int round = 0; round < kRounds; ++round) {
      GS_ASSIGN(const double one, Once(first, first_repeats));
      GS_ASSIGN(const double other, Once(second, second_repeats));
      firsts.push_back(one / first_repeats);
      seconds.push_back(other / second_repeats);
    }
    return Pair{Median(std::move(firsts)), Median(std::move(seconds))};
  }

 private:
  static constexpr int kRounds = 7;
  static constexpr double kLongEnough = 0.03;  // seconds
  static constexpr double kMostRepeats = 200;

  // The first time warms up.
  Result<uint32_t> RepeatsOf(const RecordWork& work) {
    GS_TRY(Once(work, 1));
    GS_ASSIGN(const double seconds, Once(work, 1));
    return static_cast<uint32_t>(
        std::clamp(kLongEnough / std::max(seconds, 1e-7), 1.0, kMostRepeats));
  }

  gpu::Queue& queue_;
};

}  // namespace gguf_shard
