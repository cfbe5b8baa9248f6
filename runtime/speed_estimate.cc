#include "runtime/speed_estimate.h"

#include <algorithm>

#include "atlas/residency_plan.h"
#include "runtime/weights.h"

namespace gguf_shard {
namespace {

// What one token uses of the matrices, by how it comes to them.
struct TokenUse {
  uint64_t scheduled_bytes = 0;
  uint64_t expert_bytes = 0;      // of the experts chosen for a token
  uint64_t all_expert_bytes = 0;  // of all experts
  double compute_seconds = 0;
  double memory_seconds = 0;
};

TokenUse UseOf(const Model& model, const std::vector<uint32_t>& schedule,
               const MachineSpeed& machine) {
  std::vector<bool> scheduled(model.map().tensors.size(), false);
  for (const uint32_t tensor : schedule) scheduled[tensor] = true;
  const Hyperparameters& numbers = model.hyperparameters();
  TokenUse use;
  for (size_t i = 0; i < scheduled.size(); ++i) {
    const TensorLayout& layout = model.map().tensors[i].layout;
    if (layout.layout != MemoryLayout::kColumnMajor) continue;
    const uint64_t bytes = layout.page_count * kPageBytes;
    uint64_t used_bytes = bytes;
    if (scheduled[i]) {
      use.scheduled_bytes += bytes;
    } else {
      if (numbers.expert_count == 0) continue;
      used_bytes = bytes / numbers.expert_count * numbers.expert_used_count;
      use.expert_bytes += used_bytes;
      use.all_expert_bytes += bytes;
    }
    const auto rate = machine.kernel_bytes_per_second.find(layout.type);
    if (rate == machine.kernel_bytes_per_second.end()) continue;
    use.compute_seconds += static_cast<double>(used_bytes) / rate->second;
    use.memory_seconds += static_cast<double>(used_bytes) / machine.memory_bytes_per_second;
  }
  return use;
}

}  // namespace

std::string_view SpeedLimitName(SpeedLimit limit) {
  switch (limit) {
    case SpeedLimit::kDisk:
      return "disk";
    case SpeedLimit::kMemory:
      return "memory";
    case SpeedLimit::kCompute:
      return "compute";
  }
  return "unknown";
}

Result<SpeedEstimate> EstimateSpeed(const Model& model, const EngineOptions& options,
                                    uint64_t pool_bytes, const MachineSpeed& machine) {
  const std::vector<uint32_t> tensors = ScheduleOf(model.weights());
  const RunTable runs(model.map());
  GS_ASSIGN(const Schedule schedule, Schedule::Create(model.map(), runs, tensors));
  AtlasOptions atlas;
  atlas.pool_bytes = pool_bytes;
  atlas.io_threads = kIoThreads;
  atlas.concurrent_pins = WorkerCountOf(options);
  GS_ASSIGN(const ResidencyPlan plan, PlanResidency(model.map(), runs, schedule, atlas));

  const TokenUse use = UseOf(model, tensors, machine);
  uint64_t cache_bytes = 0;
  for (const FrameClass& frames : plan.frame_classes) {
    cache_bytes += frames.page_count() * kPageBytes;
  }
  SpeedEstimate estimate;
  estimate.pool_bytes = uint64_t{plan.pool_pages} * kPageBytes;
  estimate.token_bytes = use.scheduled_bytes + use.expert_bytes;
  estimate.streamed_bytes = plan.streamed_pages * kPageBytes;
  if (use.all_expert_bytes > 0 && !plan.everything_fits()) {
    const double kept =
        std::min(1.0, static_cast<double>(cache_bytes) / static_cast<double>(use.all_expert_bytes));
    estimate.streamed_bytes +=
        static_cast<uint64_t>((1 - kept) * static_cast<double>(use.expert_bytes));
  }
  estimate.disk_seconds =
      static_cast<double>(estimate.streamed_bytes) / machine.disk_bytes_per_second;
  estimate.compute_seconds = std::max(use.compute_seconds, use.memory_seconds);
  if (estimate.disk_seconds > estimate.compute_seconds) {
    estimate.limit = SpeedLimit::kDisk;
  } else if (use.memory_seconds * 1.25 > use.compute_seconds) {
    // The kernels are within a fifth of plain reads: it is the memory that they wait for.
    estimate.limit = SpeedLimit::kMemory;
  } else {
    estimate.limit = SpeedLimit::kCompute;
  }
  return estimate;
}

}  // namespace gguf_shard
