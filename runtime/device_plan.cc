#include "runtime/device_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/bytes.h"
#include "runtime/device_weights.h"
#include "runtime/kv_cache.h"
#include "runtime/plan_shares.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kKibibyte = 1024;
// Drivers place allocations on steps of their own.
constexpr uint64_t kAllocationSlackBytes = 256 * kKibibyte;
// Machine code and its making, of all the shaders of a model (lavapipe).
constexpr uint64_t kCompiledShaderBytes = 16 * kKibibyte * kKibibyte;
constexpr uint32_t kRunsPerWave = 8;        // where there is room
constexpr uint32_t kMaxHeadsInAll = 65535;  // workgroups in one direction

class DevicePlanner {
 public:
  DevicePlanner(const Model& model, const EngineOptions& options, const gpu::Device& device,
                uint64_t limit_bytes)
      : model_(model), numbers_(model.hyperparameters()), options_(options), device_(device) {
    plan_.limit_bytes = limit_bytes;
  }

  Result<DevicePlan> Plan() {
    GS_TRY(Prepare());
    GS_TRY(CheckSmallest());
    GS_TRY(ChooseContext());
    GS_TRY(ChooseBatch());
    return Finish();
  }

  Result<uint64_t> SmallestBytes() {
    GS_TRY(Prepare());
    GS_ASSIGN(const DeviceWorkspaceBytes workspace,
              WorkspaceBytes(SmallestBatch(), SmallestContext()));
    return NeededBytes(workspace);
  }

 private:
  // What does not depend on the limit.
  Result<void> Prepare() {
    if (uint64_t{numbers_.head_count} + 2 * uint64_t{numbers_.head_count_kv} > kMaxHeadsInAll) {
      return Fail(ErrorCode::kUnsupported, "the model has more heads than a device counts");
    }
    // Whether rows of this type fit the heads; the device's own rows take a little more or less.
    GS_TRY(KvCache::Bytes(numbers_, options_.kv_type, SmallestContext()));
    DeviceShape& shape = plan_.shape;
    shape.first_layer = FirstDeviceLayer(numbers_, options_.device);
    shape.vocab_size = model_.weights().vocab_size();
    shape.kv_type = options_.kv_type;
    shape.has_embedding = shape.first_layer == 0;
    shape.has_output = shape.first_layer == 0;
    GS_ASSIGN(plan_.tuning, ChooseTuning());
    shape.packs_rows = plan_.tuning.integer_dot;
    plan_.vector_bytes = DeviceWeights::VectorBytes(model_, shape.first_layer);
    plan_.atlas.prefetch_distance =
        options_.prefetch_distance.value_or(model_.map().atlas.prefetch_distance);
    plan_.atlas.io_threads = kDeviceIoThreads;
    plan_.atlas.transfer = options_.transfer;
    plan_.atlas.slot_hook = options_.slot_hook;
    plan_.atlas.runs_per_wave = LeastRunsPerWave();
    least_atlas_bytes_ = VulkanAtlas::MinimumMemoryBytes(model_.map(), device_, plan_.atlas);
    if (options_.pool_bytes) {
      least_atlas_bytes_ = std::max(least_atlas_bytes_, *options_.pool_bytes);
    }
    return {};
  }

  Result<KernelTuning> ChooseTuning() const {
    KernelTuning tuning = TuningFor(device_.info());
    const DeviceMath math = options_.device.math;
    if (math == DeviceMath::kAuto) return tuning;
    tuning.integer_dot = math == DeviceMath::kInteger;
    tuning.cooperative_matrix = math == DeviceMath::kMatrix;
    if (tuning.integer_dot && !device_.info().integer_dot_product) {
      return Fail(ErrorCode::kUnsupported, "the device has no integer dot products");
    }
    if (tuning.cooperative_matrix && !device_.info().cooperative_matrix) {
      return Fail(ErrorCode::kUnsupported, "the device has no cooperative matrices of 16 x 16");
    }
    return tuning;
  }

  uint32_t SmallestContext() const {
    if (options_.context_length > 0) return options_.context_length;
    return std::min(numbers_.context_length, std::max(kSmallContext, options_.needed_context));
  }

  // Runs that a gathered row of the embedding may lie in: nothing else needs several at once.
  uint32_t LeastRunsPerWave() const {
    const MatrixSlice& table = model_.weights().embedding.weights;
    const TensorLayout& layout = model_.map().tensors[table.tensor_index].layout;
    if (layout.layout == MemoryLayout::kColumnMajor) return 1;
    const uint64_t row_pages = layout.row_bytes / (kPageContentBytes / 2) + 2;
    constexpr uint64_t kShortestRunPages = kTargetRunPages / 8;  // atlas/run_table.h, roughly
    return static_cast<uint32_t>(row_pages / kShortestRunPages + 2);
  }

  // As many rows of logits at once as are worth their memory, and as fit.
  Result<uint32_t> LogitRows() const {
    if (!options_.all_logits) return 1;
    const uint64_t row_bytes = uint64_t{plan_.shape.vocab_size} * sizeof(float);
    const uint64_t most_bytes = std::min(kMostLogitBytes, plan_.limit_bytes / kLogitShare);
    auto rows = static_cast<uint32_t>(
        std::clamp<uint64_t>(most_bytes / row_bytes, 1, plan_.shape.batch_tokens));
    for (; rows > 1; rows /= 2) {
      DeviceShape shape = plan_.shape;
      shape.logit_rows = rows;
      GS_ASSIGN(const DeviceWorkspaceBytes workspace, DeviceWorkspace::Bytes(numbers_, shape));
      if (NeededBytes(workspace) <= plan_.limit_bytes) break;
    }
    return rows;
  }

  // With one row of logits.
  Result<DeviceWorkspaceBytes> WorkspaceBytes(uint32_t batch, uint32_t context) const {
    DeviceShape shape = plan_.shape;
    shape.batch_tokens = batch;
    shape.context_length = context;
    return DeviceWorkspace::Bytes(numbers_, shape);
  }

  // What a run with this workspace takes at least.
  uint64_t NeededBytes(const DeviceWorkspaceBytes& workspace) const {
    return workspace.total() + plan_.vector_bytes + least_atlas_bytes_ + kAllocationSlackBytes;
  }

  uint32_t SmallestBatch() const { return std::max(1u, options_.batch_tokens); }

  Result<void> CheckSmallest() const {
    GS_ASSIGN(const DeviceWorkspaceBytes workspace,
              WorkspaceBytes(SmallestBatch(), SmallestContext()));
    const uint64_t smallest = NeededBytes(workspace);
    if (plan_.limit_bytes >= smallest) return {};
    const uint64_t kibibytes = DivCeil(smallest, kKibibyte);
    return Fail(Error(ErrorCode::kBudgetTooSmall,
                      fmt::format("the device's memory cannot hold this model's minimum; the "
                                  "smallest that would do is --vram-budget {}K",
                                  kibibytes))
                    .Expected(fmt::format("{} bytes", kibibytes * kKibibyte))
                    .Found(fmt::format("{} bytes", plan_.limit_bytes)));
  }

  Result<void> ChooseContext() {
    const uint32_t smallest = SmallestContext();
    uint32_t context = smallest;
    if (options_.context_length == 0) {
      context = std::max(smallest, std::min(numbers_.context_length, kDefaultContext));
    }
    while (context > smallest) {
      GS_ASSIGN(const DeviceWorkspaceBytes workspace, WorkspaceBytes(SmallestBatch(), context));
      const bool modest = workspace.cache <= plan_.limit_bytes / kCacheShare;
      if (modest && NeededBytes(workspace) <= plan_.limit_bytes) break;
      context = std::max(smallest, context / 2);
    }
    plan_.shape.context_length = context;
    return {};
  }

  Result<void> ChooseBatch() {
    const uint32_t context = plan_.shape.context_length;
    uint32_t batch = options_.batch_tokens;
    if (batch == 0) {
      batch = std::min(kDefaultBatch, context);
      while (batch > 1) {
        GS_ASSIGN(const DeviceWorkspaceBytes workspace, WorkspaceBytes(batch, context));
        const uint64_t passing = workspace.total() - workspace.cache;
        const bool modest = passing <= plan_.limit_bytes / kWorkspaceShare;
        if (modest && NeededBytes(workspace) <= plan_.limit_bytes) break;
        batch /= 2;
      }
    }
    plan_.shape.batch_tokens = batch;
    GS_ASSIGN(plan_.shape.logit_rows, LogitRows());
    return {};
  }

  // Pages that only the host's layers use.
  uint64_t HostPageBytes() const {
    if (plan_.shape.first_layer == 0) return 0;
    const Weights& weights = model_.weights();
    std::set<uint32_t> tensors = {weights.embedding.weights.tensor_index,
                                  weights.output.weights.tensor_index};
    for (const uint32_t tensor : HostScheduleOf(weights, plan_.shape.first_layer, true)) {
      tensors.insert(tensor);
    }
    uint64_t pages = 0;
    for (const uint32_t tensor : tensors) pages += model_.map().tensors[tensor].layout.page_count;
    return pages * kPageBytes;
  }

  Result<DevicePlan> Finish() {
    GS_ASSIGN(plan_.workspace, DeviceWorkspace::Bytes(numbers_, plan_.shape));
    const uint64_t taken = NeededBytes(plan_.workspace) - least_atlas_bytes_;
    const uint64_t rest = plan_.limit_bytes > taken ? plan_.limit_bytes - taken : 0;
    plan_.resident_bytes =
        VulkanAtlas::ResidentMemoryBytes(model_.map(), device_, plan_.atlas) - HostPageBytes();
    plan_.atlas.memory_bytes = std::max(least_atlas_bytes_, std::min(rest, plan_.resident_bytes));
    if (options_.pool_bytes) plan_.atlas.memory_bytes = *options_.pool_bytes;
    ChooseWaves();
    return plan_;
  }

  // Longer waves are fewer submissions.
  void ChooseWaves() {
    VulkanAtlasOptions roomy = plan_.atlas;
    roomy.runs_per_wave = std::max(roomy.runs_per_wave, kRunsPerWave);
    const uint64_t bytes = VulkanAtlas::MinimumMemoryBytes(model_.map(), device_, roomy);
    if (bytes <= plan_.atlas.memory_bytes / 2) plan_.atlas = roomy;
  }

  const Model& model_;
  const Hyperparameters& numbers_;
  const EngineOptions& options_;
  const gpu::Device& device_;
  uint64_t least_atlas_bytes_ = 0;
  DevicePlan plan_;
};

}  // namespace

Result<uint64_t> SmallestDeviceBytes(const Model& model, const EngineOptions& options,
                                     const gpu::Device& device) {
  return DevicePlanner(model, options, device, 0).SmallestBytes();
}

uint64_t DriverComingBytes(const gpu::Device& device) {
  return device.info().type == gpu::DeviceType::kCpu ? kCompiledShaderBytes : 0;
}

uint32_t FirstDeviceLayer(const Hyperparameters& numbers, const DeviceRequest& request) {
  const uint32_t layers = std::min(numbers.layer_count, request.gpu_layers.value_or(~0u));
  return numbers.layer_count - layers;
}

Result<DevicePlan> PlanDevice(const Model& model, const EngineOptions& options,
                              const gpu::Device& device, uint64_t limit_bytes) {
  return DevicePlanner(model, options, device, limit_bytes).Plan();
}

Result<MemoryPlan> PlanHostOfDevice(const Model& model, const EngineOptions& options,
                                    const ProcessMemory& process, uint64_t available_bytes,
                                    const DevicePlan& device, const gpu::Device& on) {
  const bool unified_memory = on.info().unified_memory;
  MemoryPlan plan;
  plan.shape.batch_tokens = device.shape.batch_tokens;
  plan.shape.logit_rows = device.shape.logit_rows;
  plan.shape.context_length = device.shape.context_length;
  plan.shape.vocab_size = device.shape.vocab_size;
  plan.budget_bytes = options.memory_budget_bytes.value_or(0);
  plan.process_bytes = process.resident_bytes + ComingBytes(model, options) + DriverComingBytes(on);
  plan.cache_bytes = device.workspace.cache;
  plan.workspace_bytes = device.workspace.total() - device.workspace.cache;
  const uint64_t needed = plan.process_bytes + (unified_memory ? device.total_bytes() : 0);
  if (options.memory_budget_bytes && *options.memory_budget_bytes < needed) {
    const uint64_t mebibytes = DivCeil(needed, kKibibyte * kKibibyte);
    return Fail(Error(ErrorCode::kBudgetTooSmall,
                      fmt::format("the memory budget cannot hold what the device's driver and this "
                                  "program take; the smallest that would do is --memory-budget {}M",
                                  mebibytes))
                    .Expected(fmt::format("{} bytes", mebibytes * kKibibyte * kKibibyte))
                    .Found(fmt::format("{} bytes", *options.memory_budget_bytes)));
  }
  const bool streams = device.atlas.memory_bytes < device.resident_bytes;
  if (unified_memory || !streams) return plan;
  const uint64_t limit = options.memory_budget_bytes.value_or(needed + available_bytes / 2);
  plan.pool_bytes = std::min(limit - needed, model.weight_bytes());
  return plan;
}

}  // namespace gguf_shard
