// Who gets how much of the memory budget. It counts everything: the process as it is, threads and
// tables still to come, key/value cache, activations; the pool of weight pages gets the rest.
// Pure functions over what they are given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "atlas/atlas.h"
#include "atlas/vulkan_atlas.h"
#include "core/error.h"
#include "kernels/vector_ops.h"
#include "runtime/device_request.h"
#include "runtime/model.h"
#include "runtime/process_memory.h"
#include "runtime/workspace.h"

namespace gguf_shard {

struct EngineOptions {
  // All memory of the process. Nothing: what the machine can spare.
  std::optional<uint64_t> memory_budget_bytes;
  // Memory for weight pages, whatever else is used. Nothing: what the budget leaves.
  std::optional<uint64_t> pool_bytes;
  uint32_t thread_count = 0;    // 0: one per processor
  uint32_t context_length = 0;  // 0: the model's, up to kDefaultContext and what the budget holds
  uint32_t needed_context = 0;  // a context chosen here is at least this (prompt and answer)
  uint32_t batch_tokens = 0;    // 0: up to kDefaultBatch
  bool all_logits = false;      // logits of every position will be asked for
  KvType kv_type = KvType::kF16;
  std::optional<uint32_t> prefetch_distance;  // nothing: the map's
  std::optional<CachePolicy> cache_policy;    // nothing: the map's
  IoMethod io_method = IoMethod::kAuto;
  uint64_t other_bytes = 0;  // of the process, still to come, beside the engine: decoded patches
  std::filesystem::path trace_path;  // where to record which shards are used; empty: nowhere
  DeviceRequest device;              // the CPU unless asked for
  // Layers that the host computes, the first ones: the engine's, once a device has the others.
  std::optional<uint32_t> host_layers;
  // How pages get into a device's memory, and who sees them there before their check: for tests
  // and `validate`.
  TransferMethod transfer = TransferMethod::kAuto;
  SlotHook* slot_hook = nullptr;
};

inline constexpr uint32_t kDefaultContext = 4096;
inline constexpr uint32_t kDefaultBatch = 512;
inline constexpr uint32_t kMaxBatch = 8192;
inline constexpr uint32_t kMaxThreads = 1024;
// Reads in flight. Eight got 3% more out of a disk than four, and sixteen no more than eight.
inline constexpr uint32_t kIoThreads = 8;
inline constexpr uint32_t kDeviceIoThreads = 4;  // each takes staging memory

// The workers that options ask for: one per processor when they do not say.
uint32_t WorkerCountOf(const EngineOptions& options);

// What the process will take beyond what it has when an engine is opened and beyond what is
// planned: threads, tables, a sampler, and what cannot be counted.
uint64_t ComingBytes(const Model& model, const EngineOptions& options);

struct MemoryPlan {
  WorkspaceShape shape;
  uint64_t budget_bytes = 0;     // 0 when there is none
  uint64_t process_bytes = 0;    // measured, plus what threads and tables will take
  uint64_t cache_bytes = 0;      // keys and values
  uint64_t workspace_bytes = 0;  // activations
  uint64_t pool_bytes = 0;       // weight pages
};

// kBudgetTooSmall names the smallest budget that would do. `available_bytes` is what the machine
// can spare, for options without a budget; `minimum_pool_bytes` is the atlas's.
Result<MemoryPlan> PlanMemory(const Model& model, const EngineOptions& options,
                              const ProcessMemory& process, uint64_t available_bytes,
                              uint64_t minimum_pool_bytes);

}  // namespace gguf_shard
