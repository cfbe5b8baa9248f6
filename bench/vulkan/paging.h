// Pages on their way to a device, with nothing computed: how fast they stream, and how long a swap
// takes. For one thread.
#pragma once

#include <cstdint>

#include "atlas/vulkan_atlas.h"
#include "core/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"

namespace gguf_shard {

// Seconds of one copy of `bytes` from host memory, on the queue that pages take.
Result<double> LinkSeconds(gpu::Device& device, const gpu::Buffer& from, const gpu::Buffer& to,
                           uint64_t to_offset, uint64_t bytes);

// Bytes a second that a cyclic model of `model_bytes`, half of which the device has room for,
// brings into slots, checked and shown. The pages are in host memory: in the host cache where the
// method has one.
Result<double> PagingRate(gpu::Device& device, TransferMethod method, uint64_t model_bytes);

struct SwapTimes {
  double mean_seconds;
  double p50_seconds;
  double p99_seconds;
};
// Of sets of 8 runs (1 MiB): the change of the table when all is resident; else all of a swap, most
// of whose pages come from host memory.
Result<SwapTimes> SwapLatency(gpu::Device& device, bool resident);

}  // namespace gguf_shard
