// What only a Vulkan device can do to a run: bits that flip on their way into its memory, memory
// that it does not give, work that it does not take. Right logits or a clear error, and the next
// engine finds everything as it was.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "atlas/vulkan_atlas.h"
#include "core/cancel.h"
#include "gpu/device_faults.h"
#include "validate/check_list.h"
#include "validate/run_trials.h"

namespace gguf_shard {
namespace {

// Flips one bit of one page whenever it arrives in its slot, so many times.
class FlippedSlot final : public SlotHook {
 public:
  FlippedSlot(uint64_t page, uint64_t bit, uint64_t times)
      : page_(page), bit_(bit), times_left_(times) {}

  void BeforeCheck(uint64_t first_page, std::span<std::byte> slots) override {
    const std::lock_guard lock(mutex_);
    const uint64_t count = slots.size() / kPageBytes;
    if (page_ < first_page || page_ - first_page >= count || times_left_ == 0) return;
    --times_left_;
    ++flip_count_;
    slots[(page_ - first_page) * kPageBytes + bit_ / 8] ^= std::byte{1} << (bit_ % 8);
  }

  uint64_t flip_count() const { return flip_count_; }

 private:
  const uint64_t page_;
  const uint64_t bit_;
  std::mutex mutex_;  // guards what follows
  uint64_t times_left_;
  uint64_t flip_count_ = 0;
};

// Once: the page is read again. Always: it is named. Where the host does not see the slots nothing
// can be flipped in them.
Result<Outcome> CheckFlippedSlots(ValidationContext& context) {
  GS_ASSIGN(RunTrials trials, RunTrials::Create(context, RunPlace::kDevice));
  auto random = context.RandomOf("device.flipped_slots");
  Outcome outcome;
  uint64_t flips = 0;
  const uint64_t count = trials.Count(100);
  context.progress().StartSteps("device.flipped_slots", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    trials.ChoosePath(i);
    const uint64_t page = TensorPage(trials.core, random);
    const uint64_t bit = random() % (kPageBytes * 8);
    FlippedSlot once(page, bit, 1);
    trials.options.slot_hook = &once;
    trials.CountClean(trials.Run(), fmt::format("page {} flipped once", page), outcome);
    FlippedSlot always(page, bit, ~uint64_t{0});
    trials.options.slot_hook = &always;
    trials.CountNamed(page, ErrorCode::kChecksumMismatch, trials.Run(), "flipped slot", outcome);
    trials.options.slot_hook = nullptr;
    flips += once.flip_count() + always.flip_count();
  }
  if (flips == 0) return Skipped("the host does not see this device's memory");
  JudgeDetection(outcome);
  outcome.happened += fmt::format("; {} bits flipped in slots; pages {}", flips, trials.PathText());
  return outcome;
}

// A refusal of the driver: the run ends with that error, or did not need what was refused. The next
// run finds everything as it was.
class DriverTrials {
 public:
  using Count = uint64_t (gpu::DeviceFaults::*)() const;
  using Inject = void (gpu::DeviceFaults::*)(uint64_t);

  static Result<DriverTrials> Create(ValidationContext& context) {
    GS_ASSIGN(RunTrials trials, RunTrials::Create(context, RunPlace::kDevice));
    return DriverTrials(context, std::move(trials));
  }

  // Refuses at up to so many of the places that a run without faults counts, spread over it.
  Result<Outcome> Run(const std::string& name, Count count_of, Inject inject, ErrorCode code) {
    const uint64_t most = trials_.Count(100);
    context_.progress().StartSteps(name, most);
    for (uint64_t i = 0; i < most; ++i) {
      GS_TRY(CheckCancelled());
      context_.progress().Advance(1);
      trials_.ChoosePath(i);
      gpu::DeviceFaults none;
      const auto good = RunUnder(none);
      trials_.CountClean(good, "after a refusal", outcome_);
      const uint64_t places = (none.*count_of)();
      if (!good || places == 0) continue;
      gpu::DeviceFaults faults;
      (faults.*inject)(i * places / most);
      CountRefusal(i * places / most, places, code, RunUnder(faults));
    }
    JudgeDetection(outcome_);
    outcome_.happened += "; pages " + trials_.PathText();
    return std::move(outcome_);
  }

 private:
  DriverTrials(ValidationContext& context, RunTrials trials)
      : context_(context), trials_(std::move(trials)) {}

  Result<std::vector<float>> RunUnder(gpu::DeviceFaults& faults) const {
    const gpu::ScopedDeviceFaults scope(faults);
    return trials_.Run();
  }

  void CountRefusal(uint64_t place, uint64_t places, ErrorCode code,
                    const Result<std::vector<float>>& logits) {
    ++outcome_.injected;
    const bool named = !logits && logits.error().code() == code;
    const bool same = logits && *logits == trials_.expected;
    outcome_.detected += named ? 1 : 0;
    outcome_.harmless += same ? 1 : 0;
    if (named || same) return;
    Finding finding;
    finding.what = fmt::format("refused from {} of {} on: {}", place, places, SayLogits(logits));
    outcome_.findings.push_back(std::move(finding));
  }

  ValidationContext& context_;
  RunTrials trials_;
  Outcome outcome_;
};

Result<Outcome> CheckNoMemory(ValidationContext& context) {
  GS_ASSIGN(DriverTrials trials, DriverTrials::Create(context));
  return trials.Run("device.no_memory", &gpu::DeviceFaults::allocation_count,
                    &gpu::DeviceFaults::FailAllocationsFrom, ErrorCode::kOutOfMemory);
}

Result<Outcome> CheckLost(ValidationContext& context) {
  GS_ASSIGN(DriverTrials trials, DriverTrials::Create(context));
  return trials.Run("device.lost", &gpu::DeviceFaults::submission_count,
                    &gpu::DeviceFaults::LoseDeviceAt, ErrorCode::kDevice);
}

}  // namespace

void AddDeviceChaosChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kChaos;
  checks.push_back({"device.flipped_slots", group,
                    "a bit that flips on its way into device memory is found there: the page is "
                    "read once more, or named",
                    CheckFlippedSlots});
  checks.push_back({"device.no_memory", group,
                    "a device that gives no more memory ends the run with an error; the next run "
                    "finds all of it",
                    CheckNoMemory});
  checks.push_back({"device.lost", group,
                    "a device that is lost ends the run with an error, never with a hang or other "
                    "logits",
                    CheckLost});
}

}  // namespace gguf_shard
