#include "gpu/device_faults.h"

namespace gguf_shard::gpu {
namespace {

std::atomic<DeviceFaults*>& InPlace() {
  static std::atomic<DeviceFaults*> faults{nullptr};
  return faults;
}

}  // namespace

void DeviceFaults::FailAllocationsFrom(uint64_t allocation) {
  first_failing_allocation_ = allocation;
  allocation_count_ = 0;
}

void DeviceFaults::LoseDeviceAt(uint64_t submission) {
  losing_submission_ = submission;
  submission_count_ = 0;
  lost_ = false;
}

bool DeviceFaults::NextSubmissionFails() {
  if (submission_count_++ >= losing_submission_) lost_ = true;
  return lost_;
}

DeviceFaults* CurrentDeviceFaults() { return InPlace().load(std::memory_order_acquire); }

ScopedDeviceFaults::ScopedDeviceFaults(DeviceFaults& faults)
    : before_(InPlace().exchange(&faults, std::memory_order_acq_rel)) {}

ScopedDeviceFaults::~ScopedDeviceFaults() { InPlace().store(before_, std::memory_order_release); }

}  // namespace gguf_shard::gpu
