// What a Vulkan driver may answer at any time, on demand: no more memory, a device that is lost.
// Every allocation, submission and wait of this module asks the faults that are current; normally
// there are none. For tests and `validate`.
//
// A lost device stays lost for as long as its faults are in place: nothing is submitted to it any
// more, and whoever waits for what was submitted before is told of the loss when that has ended.
//
// Thread-safety: asked from many threads; put in place while no device is open, or by whoever uses
// all open ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

namespace gguf_shard::gpu {

class DeviceFaults {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  // From the n-th allocation on (0: the first) there is no memory; counting begins anew.
  void FailAllocationsFrom(uint64_t allocation);
  // At the n-th submission the device is lost; counting begins anew.
  void LoseDeviceAt(uint64_t submission);

  uint64_t allocation_count() const { return allocation_count_.load(); }
  uint64_t submission_count() const { return submission_count_.load(); }

  // Asked by gpu/: each counts.
  bool NextAllocationFails() { return allocation_count_++ >= first_failing_allocation_; }
  bool NextSubmissionFails();
  bool device_is_lost() const { return lost_.load(); }

 private:
  uint64_t first_failing_allocation_ = kNever;
  uint64_t losing_submission_ = kNever;
  std::atomic<uint64_t> allocation_count_{0};
  std::atomic<uint64_t> submission_count_{0};
  std::atomic<bool> lost_{false};
};

// Null when there are none.
DeviceFaults* CurrentDeviceFaults();

// Puts faults in place for as long as it lives.
class ScopedDeviceFaults {
 public:
  explicit ScopedDeviceFaults(DeviceFaults& faults);
  ~ScopedDeviceFaults();
  ScopedDeviceFaults(const ScopedDeviceFaults&) = delete;
  ScopedDeviceFaults& operator=(const ScopedDeviceFaults&) = delete;

 private:
  DeviceFaults* before_;
};

}  // namespace gguf_shard::gpu
