// How fast a model should run here: short measurements of this machine, and what follows from them.
//
//   disk       direct reads of the core itself, several at a time, spread over the file
//   kernels    matrix-vector products over pages of the core, for each type of its matrices, on all
//              threads; their working set is small, so the memory's own rate bounds them
//   memory     plain reads by all threads of as many bytes as the model has, up to a limit that no
//              cache of the processor comes near
//
//   seconds per token = max(bytes that cannot be resident / disk, bytes of a token / kernels)
//
// A bound, not a promise: attention, sampling and whatever else the machine does are left out. For
// experts it takes every one to be equally likely, which is the worst case for a cache.
// Thread-safety: for one thread at a time; nothing else should run meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "core/error.h"
#include "core/tensor_type.h"
#include "runtime/memory_plan.h"
#include "runtime/model.h"

namespace gguf_shard {

struct MachineSpeed {
  double disk_bytes_per_second = 0;
  double memory_bytes_per_second = 0;
  std::map<TensorType, double> kernel_bytes_per_second;  // of pages
};

inline constexpr uint64_t kMeasuredBytes = uint64_t{512} << 20;

// About two seconds. `thread_count` as in EngineOptions; takes at most `most_bytes` of memory, and
// a few MiB.
Result<MachineSpeed> MeasureMachine(const Model& model, uint32_t thread_count,
                                    uint64_t most_bytes = kMeasuredBytes);

enum class SpeedLimit : uint8_t { kDisk, kMemory, kCompute };
std::string_view SpeedLimitName(SpeedLimit limit);  // "disk", "memory", "compute"

struct SpeedEstimate {
  uint64_t pool_bytes = 0;
  uint64_t token_bytes = 0;     // pages that one token uses
  uint64_t streamed_bytes = 0;  // of those, read from the disk for each token
  double disk_seconds = 0;      // for a token
  double compute_seconds = 0;
  SpeedLimit limit = SpeedLimit::kDisk;

  double seconds_per_token() const {
    return disk_seconds > compute_seconds ? disk_seconds : compute_seconds;
  }
  double resident_share() const {
    return token_bytes == 0
               ? 1
               : 1 - static_cast<double>(streamed_bytes) / static_cast<double>(token_bytes);
  }
};

// For a pool of this size; kBudgetTooSmall as the atlas says.
Result<SpeedEstimate> EstimateSpeed(const Model& model, const EngineOptions& options,
                                    uint64_t pool_bytes, const MachineSpeed& machine);

}  // namespace gguf_shard
