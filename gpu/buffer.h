// Memory on a device, addressed by 64-bit device addresses: shaders get addresses in push
// constants, and no descriptor exists anywhere. One buffer is one allocation, counted against the
// device's limit; whoever needs many small pieces cuts them out of one buffer.
//
// Thread-safety: one holder; free it only when no submission that uses it is in flight. Reading and
// writing mapped memory follows the timeline (gpu/queue.h); mapped memory is always coherent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/error.h"
#include "gpu/device.h"

namespace gguf_shard::gpu {

enum class MemoryKind : uint8_t {
  kDevice,    // device-local; mapped only on unified memory
  kUpload,    // host-visible, written by the host in order (staging)
  kReadback,  // host-visible and cached, read by the host (logits, statuses)
};

struct BufferHandles;  // gpu/vulkan_handles.h

class Buffer {
 public:
  // bytes >= 1. kBudgetTooSmall above the device's limit, kOutOfMemory when the driver refuses,
  // kTooLarge above max_allocation_bytes or max_buffer_bytes. Contents are undefined.
  static Result<Buffer> Allocate(Device& device, MemoryKind kind, uint64_t bytes);
  // Makes host memory (page-aligned, `memory` outlives the buffer) readable by the device; counted
  // by its owner, not here. kUnsupported where info().imports_host_memory is false.
  static Result<Buffer> ImportHostMemory(Device& device, std::span<std::byte> memory);

  Buffer();  // empty
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  bool empty() const { return bytes_ == 0; }
  uint64_t bytes() const { return bytes_; }
  // What the device counts for it; 0 for imported memory.
  uint64_t counted_bytes() const { return counted_bytes_; }
  uint64_t address() const { return address_; }  // on the device
  std::byte* mapped() const { return mapped_; }  // null when the host cannot see it
  const BufferHandles& handles() const { return *handles_; }

 private:
  Result<void> Bind(MemoryKind kind, std::span<std::byte> imported);
  void Free();

  Device* device_ = nullptr;
  std::unique_ptr<BufferHandles> handles_;
  uint64_t bytes_ = 0;
  uint64_t counted_bytes_ = 0;
  uint64_t address_ = 0;
  std::byte* mapped_ = nullptr;
};

}  // namespace gguf_shard::gpu
