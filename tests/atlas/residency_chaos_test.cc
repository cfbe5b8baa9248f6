// The residency under callers and a disk that do anything within the rules.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/atlas/residency_machine.h"

namespace gguf_shard {
namespace {

// Callers that do anything within the rules, a disk that ends jobs in any order and fails now and
// then. Every pin must show its pages, and whenever someone waits, there is a job or one in flight.
class Chaos {
 public:
  Chaos(const SyntheticModel& model, std::vector<uint32_t> scheduled, AtlasOptions options,
        uint64_t seed)
      : machine_(model, scheduled, options), random_(seed), limit_(options.concurrent_pins) {}

  void Step() {
    switch (random_.Below(8)) {
      case 0:
      case 1:
      case 2:
        BeginPin();
        break;
      case 3:
      case 4:
        if (!held_.empty()) EndPin(random_.Below(static_cast<uint32_t>(held_.size())));
        break;
      case 5:
        machine_.TakeJob();
        break;
      case 6:
        EndSomeJob();
        break;
      case 7:
        if (random_.Below(4) == 0) machine_.residency().Prefetch(AnyRun());
        break;
    }
  }

  // The callers do nothing more: everyone who waits gets what he waits for.
  void Finish() {
    for (int i = 0; i < 100000 && !(waiting_.empty() && held_.empty()); ++i) {
      while (!held_.empty()) EndPin(0);
      if (waiting_.empty()) break;
      const bool took = machine_.TakeJob();
      ASSERT_TRUE(took || machine_.jobs_in_flight() > 0) << "someone waits for ever";
      EndSomeJob();
    }
    EXPECT_TRUE(waiting_.empty());
  }

  uint64_t pages_pinned() const { return PagesPinned(machine_.counts()); }

 private:
  uint32_t AnyRun() {
    if (random_.Below(3) > 0 && machine_.schedule().size() > 0) {
      // Mostly in order, with jumps.
      if (random_.Below(50) == 0) position_ = random_.Below(machine_.schedule().size());
      if (random_.Below(100) == 0) position_ = 0;
      const uint64_t jitter = random_.Below(3);
      return machine_.schedule().RunAt(position_++ + jitter);
    }
    return random_.Below(machine_.runs().run_count());
  }
  void BeginPin() {
    if (held_.size() + waiting_.size() >= limit_) {
      // All callers wait or hold: someone must be able to go on.
      if (held_.empty()) {
        ASSERT_TRUE(machine_.TakeJob() || machine_.jobs_in_flight() > 0);
      }
      return;
    }
    const uint32_t run = AnyRun();
    if (machine_.residency().Pin(run)) {
      machine_.ExpectShown(run);
      held_.push_back(run);
    } else {
      waiting_.push_back(run);
    }
  }
  void EndPin(uint32_t index) {
    machine_.ExpectShown(held_[index]);
    machine_.residency().Unpin(held_[index]);
    held_.erase(held_.begin() + index);
  }
  void EndSomeJob() {
    if (machine_.jobs_in_flight() == 0) return;
    std::set<uint32_t> ended, failed;
    const size_t index = random_.Below(static_cast<uint32_t>(machine_.jobs_in_flight()));
    machine_.EndJob(index, [&](uint32_t run) {
      const bool fails = random_.Below(20) == 0;
      (fails ? failed : ended).insert(run);
      return fails;
    });
    std::erase_if(waiting_, [&](uint32_t run) {
      if (ended.contains(run)) {
        machine_.ExpectShown(run);
        held_.push_back(run);
      }
      return ended.contains(run) || failed.contains(run);
    });
  }

  Machine machine_;
  Random random_;
  size_t limit_;
  uint64_t position_ = 0;
  std::vector<uint32_t> held_;
  std::vector<uint32_t> waiting_;
};

TEST(Residency, ChaosNeverShowsWrongPagesAndNeverDeadlocks) {
  SyntheticModel model;
  std::vector<uint32_t> scheduled;
  for (int i = 0; i < 12; ++i) {
    scheduled.push_back(model.AddMatrix("m" + std::to_string(i), 20, 3));
    if (i % 4 == 0) scheduled.push_back(model.AddVector("v" + std::to_string(i), 1));
  }
  model.AddTable("table", 300, Zone::kCold);
  model.AddMatrix("experts_up", 24, 4, 8);
  model.AddMatrix("experts_down", 8, 12, 8);
  const RunTable runs(model.map());
  Random random(11);
  for (uint64_t seed = 0; seed < 150; ++seed) {
    AtlasOptions options;
    options.concurrent_pins = 1 + random.Below(5);
    options.prefetch_distance = random.Below(4) == 0 ? 0 : 1 + random.Below(20);
    const uint64_t minimum = MinimumPoolPages(runs, options);
    const uint64_t extra =
        seed % 3 == 0 ? 0 : random.Below(static_cast<uint32_t>(model.tensor_pages()));
    options.pool_bytes = (minimum + extra) * kPageBytes;
    Chaos chaos(model, scheduled, options, seed);
    for (int step = 0; step < 3000; ++step) {
      chaos.Step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    chaos.Finish();
    EXPECT_GT(chaos.pages_pinned(), 500u);
  }
}

}  // namespace
}  // namespace gguf_shard
