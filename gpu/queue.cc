#include "gpu/queue.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "core/check.h"
#include "gpu/device_faults.h"
#include "gpu/vulkan_error.h"
#include "gpu/vulkan_handles.h"

namespace gguf_shard::gpu {
namespace {

// The caller's lock around a queue that it uses too.
class QueueLock {
 public:
  explicit QueueLock(const DeviceHandles& device) : device_(device) {
    if (device_.lock_queues != nullptr) device_.lock_queues(device_.lock_context);
  }
  ~QueueLock() {
    if (device_.unlock_queues != nullptr) device_.unlock_queues(device_.lock_context);
  }
  QueueLock(const QueueLock&) = delete;
  QueueLock& operator=(const QueueLock&) = delete;

 private:
  const DeviceHandles& device_;
};

uint64_t ReachedValue(const QueueHandles& queue) {
  uint64_t value = 0;
  const VkResult result =
      queue.device->vk.vkGetSemaphoreCounterValue(queue.device->device, queue.timeline, &value);
  return result >= VK_SUCCESS ? value : 0;
}

// A Commands object that nothing executes any more, or a new one. With the queue's mutex held.
Result<std::unique_ptr<CommandsHandles>> TakeCommands(QueueHandles& queue) {
  const uint64_t reached = ReachedValue(queue);
  for (auto& idle : queue.idle) {
    if (idle->last_value > reached) continue;
    std::swap(idle, queue.idle.back());
    auto handles = std::move(queue.idle.back());
    queue.idle.pop_back();
    return handles;
  }
  const DeviceHandles& device = *queue.device;
  auto handles = std::make_unique<CommandsHandles>();
  handles->queue = &queue;
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT;
  pool.queueFamilyIndex = queue.family;
  GS_TRY(CheckVulkan(device.vk.vkCreateCommandPool(device.device, &pool, nullptr, &handles->pool),
                     "creating a command pool"));
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = handles->pool;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  GS_TRY(CheckVulkan(device.vk.vkAllocateCommandBuffers(device.device, &info, &handles->buffer),
                     "allocating a command buffer"));
  return handles;
}

void RecordBarrier(const CommandsHandles& commands, VkPipelineStageFlags to_stages,
                   VkAccessFlags to_accesses) {
  VkMemoryBarrier barrier{};
  barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  barrier.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT;
  barrier.dstAccessMask = to_accesses;
  commands.queue->device->vk.vkCmdPipelineBarrier(commands.buffer,
                                                  VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, to_stages, 0,
                                                  1, &barrier, 0, nullptr, 0, nullptr);
}

void RecordFullBarrier(const CommandsHandles& commands) {
  RecordBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT);
}

// The semaphores that a submission waits for and signals; the arrays live as long as it.
struct Semaphores {
  std::vector<VkSemaphore> wait;
  std::vector<uint64_t> wait_values;
  std::vector<VkPipelineStageFlags> wait_stages;
  std::vector<VkSemaphore> signal;
  std::vector<uint64_t> signal_values;
};

VkResult SubmitBuffer(const QueueHandles& queue, VkCommandBuffer buffer, const Semaphores& s) {
  DeviceFaults* const faults = CurrentDeviceFaults();
  if (faults != nullptr && faults->NextSubmissionFails()) return VK_ERROR_DEVICE_LOST;
  VkTimelineSemaphoreSubmitInfo values{};
  values.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
  values.waitSemaphoreValueCount = static_cast<uint32_t>(s.wait.size());
  values.pWaitSemaphoreValues = s.wait_values.data();
  values.signalSemaphoreValueCount = static_cast<uint32_t>(s.signal.size());
  values.pSignalSemaphoreValues = s.signal_values.data();
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.pNext = &values;
  info.waitSemaphoreCount = static_cast<uint32_t>(s.wait.size());
  info.pWaitSemaphores = s.wait.data();
  info.pWaitDstStageMask = s.wait_stages.data();
  info.commandBufferCount = 1;
  info.pCommandBuffers = &buffer;
  info.signalSemaphoreCount = static_cast<uint32_t>(s.signal.size());
  info.pSignalSemaphores = s.signal.data();
  const QueueLock lock(*queue.device);
  return queue.device->vk.vkQueueSubmit(queue.queue, 1, &info, VK_NULL_HANDLE);
}

}  // namespace

// Commands --------------------------------------------------------------------------------------

Commands::Commands() = default;
Commands::Commands(Commands&& other) noexcept = default;

Commands& Commands::operator=(Commands&& other) noexcept {
  std::swap(handles_, other.handles_);
  return *this;
}

Commands::~Commands() {
  if (!handles_) return;
  QueueHandles& queue = *handles_->queue;
  const std::lock_guard lock(queue.mutex);
  queue.idle.push_back(std::move(handles_));
}

void Commands::Dispatch(const Kernel& kernel, std::span<const std::byte> push, uint32_t groups_x,
                        uint32_t groups_y, uint32_t groups_z) {
  GS_CHECK(push.size() == kernel.push_constant_bytes());
  if (groups_x == 0 || groups_y == 0 || groups_z == 0) return;
  const VolkDeviceTable& vk = handles_->queue->device->vk;
  vk.vkCmdBindPipeline(handles_->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, kernel.handles().pipeline);
  if (!push.empty()) {
    vk.vkCmdPushConstants(handles_->buffer, kernel.handles().layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                          static_cast<uint32_t>(push.size()), push.data());
  }
  vk.vkCmdDispatch(handles_->buffer, groups_x, groups_y, groups_z);
  handles_->empty = false;
}

void Commands::Copy(const Buffer& from, uint64_t from_offset, const Buffer& to, uint64_t to_offset,
                    uint64_t bytes) {
  GS_CHECK(from_offset + bytes <= from.bytes() && to_offset + bytes <= to.bytes());
  if (bytes == 0) return;
  const VkBufferCopy region{from_offset, to_offset, bytes};
  handles_->queue->device->vk.vkCmdCopyBuffer(handles_->buffer, from.handles().buffer,
                                              to.handles().buffer, 1, &region);
  handles_->empty = false;
}

void Commands::Fill(const Buffer& target, uint64_t offset, uint64_t bytes, uint32_t word) {
  GS_CHECK(offset % 4 == 0 && bytes % 4 == 0 && offset + bytes <= target.bytes());
  if (bytes == 0) return;
  handles_->queue->device->vk.vkCmdFillBuffer(handles_->buffer, target.handles().buffer, offset,
                                              bytes, word);
  handles_->empty = false;
}

void Commands::Barrier() { RecordFullBarrier(*handles_); }

bool Commands::empty() const { return handles_->empty; }

// Queue -----------------------------------------------------------------------------------------

Queue::Queue() = default;
Queue::~Queue() = default;

Result<Commands> Queue::Begin() {
  Commands commands;
  {
    const std::lock_guard lock(handles_->mutex);
    GS_ASSIGN(commands.handles_, TakeCommands(*handles_));
  }
  const DeviceHandles& device = *handles_->device;
  commands.handles_->empty = true;
  commands.handles_->last_value = 0;
  GS_TRY(CheckVulkan(device.vk.vkResetCommandPool(device.device, commands.handles_->pool, 0),
                     "resetting a command pool"));
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  GS_TRY(CheckVulkan(device.vk.vkBeginCommandBuffer(commands.handles_->buffer, &info),
                     "beginning a command buffer"));
  RecordFullBarrier(*commands.handles_);
  return commands;
}

Result<TimelinePoint> Queue::Submit(Commands commands, std::span<const TimelinePoint> wait_for) {
  return SubmitAndSignal(*this, std::move(commands), wait_for, VK_NULL_HANDLE, 0);
}

Result<TimelinePoint> Queue::SubmitRecorded(Commands& commands,
                                            std::span<const TimelinePoint> wait_for,
                                            ExtraSignal extra) {
  GS_CHECK(commands.handles_ && commands.handles_->queue == handles_.get());
  // The host reads what was written after it has waited for the timeline.
  RecordBarrier(*commands.handles_, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
  GS_TRY(CheckVulkan(handles_->device->vk.vkEndCommandBuffer(commands.handles_->buffer),
                     "recording commands"));
  Semaphores semaphores;
  for (const TimelinePoint& point : wait_for) {
    if (point.queue == nullptr || point.queue == this) continue;
    semaphores.wait.push_back(point.queue->handles_->timeline);
    semaphores.wait_values.push_back(point.value);
    semaphores.wait_stages.push_back(VK_PIPELINE_STAGE_ALL_COMMANDS_BIT);
  }
  const std::lock_guard lock(handles_->mutex);
  const uint64_t value = handles_->submitted_value + 1;
  semaphores.signal.push_back(handles_->timeline);
  semaphores.signal_values.push_back(value);
  if (extra.handles != nullptr) {
    semaphores.signal.push_back(*static_cast<const VkSemaphore*>(extra.handles));
    semaphores.signal_values.push_back(extra.value);
  }
  GS_TRY(CheckVulkan(SubmitBuffer(*handles_, commands.handles_->buffer, semaphores),
                     "submitting work to the device"));
  handles_->submitted_value = value;
  commands.handles_->last_value = value;
  handles_->idle.push_back(std::move(commands.handles_));
  return TimelinePoint{this, value};
}

Result<TimelinePoint> SubmitAndSignal(Queue& queue, Commands commands,
                                      std::span<const TimelinePoint> wait_for,
                                      VkSemaphore semaphore, uint64_t value) {
  Queue::ExtraSignal extra;
  if (semaphore != VK_NULL_HANDLE) extra = {&semaphore, value};
  return queue.SubmitRecorded(commands, wait_for, extra);
}

Result<void> Queue::Wait(uint64_t value) const {
  if (value == 0) return {};
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &handles_->timeline;
  info.pValues = &value;
  const DeviceHandles& device = *handles_->device;
  VkResult result =
      device.vk.vkWaitSemaphores(device.device, &info, std::numeric_limits<uint64_t>::max());
  const DeviceFaults* const faults = CurrentDeviceFaults();
  if (faults != nullptr && faults->device_is_lost()) result = VK_ERROR_DEVICE_LOST;
  return CheckVulkan(result, "waiting for the device");
}

bool Queue::HasPassed(uint64_t value) const {
  return value == 0 || ReachedValue(*handles_) >= value;
}

TimelinePoint Queue::Latest() const {
  const std::lock_guard lock(handles_->mutex);
  return {this, handles_->submitted_value};
}

}  // namespace gguf_shard::gpu
