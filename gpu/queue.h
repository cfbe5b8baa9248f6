// Commands, and the queue that executes them in the order of a timeline.
//
// A Commands object records dispatches, copies and barriers; Submit sends it and returns the point
// of the queue's timeline (a counter that only grows) at which it will have ended. Host and other
// queues wait for points. Submissions of one queue start in order, and each begins with a full
// barrier after the one before it: what an earlier submission wrote is visible. Within one Commands
// nothing is ordered but by Barrier().
//
// Commands objects are recycled: Begin gives one whose last submission has ended, or a new one.
// Thread-safety: a Queue from many threads; a Commands by one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "core/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "gpu/kernel.h"

namespace gguf_shard::gpu {

struct CommandsHandles;  // gpu/vulkan_handles.h
struct QueueHandles;

// A moment of a queue's timeline; the default one has always passed.
struct TimelinePoint {
  const Queue* queue = nullptr;
  uint64_t value = 0;
};

class Commands {
 public:
  Commands(Commands&& other) noexcept;
  Commands& operator=(Commands&& other) noexcept;
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;
  ~Commands();  // not submitted: given back

  // One workgroup grid; `push` has exactly the kernel's push_constant_bytes.
  void Dispatch(const Kernel& kernel, std::span<const std::byte> push, uint32_t groups_x,
                uint32_t groups_y = 1, uint32_t groups_z = 1);
  template <typename Push>
  requires(!std::is_convertible_v<const Push&, std::span<const std::byte>>) void Dispatch(
      const Kernel& kernel, const Push& push, uint32_t groups_x, uint32_t groups_y = 1,
      uint32_t groups_z = 1) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span<const Push>(&push, 1));
    Dispatch(kernel, bytes, groups_x, groups_y, groups_z);
  }
  void Copy(const Buffer& from, uint64_t from_offset, const Buffer& to, uint64_t to_offset,
            uint64_t bytes);
  void Fill(const Buffer& target, uint64_t offset, uint64_t bytes, uint32_t word);
  // What was recorded before is done and visible to what follows. (The host sees it once it has
  // waited for the submission's point.)
  void Barrier();
  bool empty() const;

  CommandsHandles& handles() { return *handles_; }

 private:
  friend class Queue;
  Commands();
  std::unique_ptr<CommandsHandles> handles_;
};

class Queue {
 public:
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  Result<Commands> Begin();
  // Waits on the device for the points of other queues first. kDevice when the device is lost.
  Result<TimelinePoint> Submit(Commands commands, std::span<const TimelinePoint> wait_for = {});
  // Blocks the host. kDevice when the device is lost.
  Result<void> Wait(uint64_t value) const;
  bool HasPassed(uint64_t value) const;
  // The point of the newest submission.
  TimelinePoint Latest() const;

  QueueHandles& handles() const { return *handles_; }

  // For gpu/vulkan_handles.h: a semaphore of the caller's that the submission signals too.
  struct ExtraSignal {
    const void* handles = nullptr;  // a VkSemaphore
    uint64_t value = 0;
  };
  Result<TimelinePoint> SubmitRecorded(Commands& commands, std::span<const TimelinePoint> wait_for,
                                       ExtraSignal extra);

 private:
  friend class Device;
  friend struct DeviceHandles;
  Queue();
  std::unique_ptr<QueueHandles> handles_;
};

}  // namespace gguf_shard::gpu
