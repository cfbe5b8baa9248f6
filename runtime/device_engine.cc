#include "runtime/device_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/bytes.h"
#include "runtime/plan_shares.h"
#include "runtime/process_memory.h"

namespace gguf_shard {
namespace {

// What opening buffers and pipelines leaves in the process beside them.
constexpr uint64_t kOpeningBytes = 2 * kMebibyte;

HeadShape HeadsOf(const Model& model, KvType kv_type) {
  const Hyperparameters& numbers = model.hyperparameters();
  return {
      .kv_type = kv_type,
      .key_length = numbers.key_length,
      .value_length = numbers.value_length,
      .rotated = numbers.rope.dimensions,
      .adjacent_pairs = model.architecture().rope_order == RopeOrder::kAdjacent,
  };
}

// What the budget of the process leaves to a device that takes its memory from it, in proportion to
// the device's layers.
Result<uint64_t> ShareOfProcess(const Model& model, const EngineOptions& options,
                                const gpu::Device& device) {
  GS_ASSIGN(const ProcessMemory process, ReadProcessMemory());
  GS_ASSIGN(const uint64_t smallest, SmallestDeviceBytes(model, options, device));
  const uint64_t taken = process.resident_bytes + ComingBytes(model, options) +
                         DriverComingBytes(device) + kOpeningBytes;
  const uint64_t budget = *options.memory_budget_bytes;
  const Hyperparameters& numbers = model.hyperparameters();
  const uint64_t layers = numbers.layer_count - FirstDeviceLayer(numbers, options.device);
  const uint64_t needed = taken + DivCeil(smallest, layers) * numbers.layer_count;
  if (budget >= needed) return (budget - taken) / numbers.layer_count * layers;
  const uint64_t mebibytes = DivCeil(needed, kMebibyte);
  return Fail(
      Error(ErrorCode::kBudgetTooSmall,
            fmt::format("the memory budget cannot hold the device's driver, this program and "
                        "the model's minimum; the smallest that would do is "
                        "--memory-budget {}M",
                        mebibytes))
          .Expected(fmt::format("{} bytes", mebibytes * kMebibyte))
          .Found(fmt::format("{} bytes", budget)));
}

Result<uint64_t> LimitOf(const Model& model, const EngineOptions& options,
                         const gpu::Device& device) {
  if (options.device.vram_budget_bytes) return *options.device.vram_budget_bytes;
  if (device.info().unified_memory && options.memory_budget_bytes) {
    return ShareOfProcess(model, options, device);
  }
  return device.memory_limit_bytes() / 10 * 9;  // others use the device too
}

}  // namespace

DeviceEngine::DeviceEngine(const Model& model, std::unique_ptr<gpu::Device> device, DevicePlan plan)
    : model_(model),
      device_(std::move(device)),
      plan_(plan),
      source_(MakeCorePageSource(model.core())),
      kernels_(*device_, HeadsOf(model, plan.shape.kv_type), plan.tuning) {}

Result<std::unique_ptr<DeviceEngine>> DeviceEngine::Open(const Model& model,
                                                         const EngineOptions& options,
                                                         uint32_t index) {
  const gpu::DeviceOptions device_options = {
      .index = static_cast<int32_t>(index),
      .memory_limit_bytes = options.device.vram_budget_bytes.value_or(0),
      .pipeline_cache_path = options.device.pipeline_cache_path,
  };
  GS_ASSIGN(std::unique_ptr<gpu::Device> device, gpu::Device::Open(device_options));
  GS_ASSIGN(const uint64_t limit_bytes, LimitOf(model, options, *device));
  GS_ASSIGN(const DevicePlan plan, PlanDevice(model, options, *device, limit_bytes));
  std::unique_ptr<DeviceEngine> engine(new DeviceEngine(model, std::move(device), plan));
  GS_ASSIGN(engine->weights_,
            DeviceWeights::Create(*engine->device_, model, plan.shape.first_layer));
  GS_ASSIGN(engine->workspace_,
            DeviceWorkspace::Create(*engine->device_, model.hyperparameters(), plan.shape));
  return engine;
}

Result<void> DeviceEngine::OpenAtlas(uint64_t host_cache_bytes) {
  const DeviceShape& shape = plan_.shape;
  plan_.atlas.host_cache_bytes = unified_memory() ? 0 : host_cache_bytes;
  GS_ASSIGN(atlas_, VulkanAtlas::Open(
                        model_.map(), *source_, *device_,
                        DeviceScheduleOf(model_.weights(), shape.first_layer, shape.has_output),
                        plan_.atlas));
  recorder_.emplace(*device_, *atlas_, kernels_, model_.map());
  pass_.emplace(model_, shape, weights_, workspace_, *recorder_);
  return {};
}

DeviceStats DeviceEngine::Stats() const {
  DeviceStats stats;
  stats.name = device_->info().name;
  stats.unified_memory = unified_memory();
  stats.first_layer = plan_.shape.first_layer;
  stats.layer_count = model_.hyperparameters().layer_count - plan_.shape.first_layer;
  stats.limit_bytes = plan_.limit_bytes;
  stats.peak_bytes = device_->peak_allocated_bytes();
  stats.cache_bytes = plan_.workspace.cache;
  stats.activation_bytes = plan_.workspace.total() - plan_.workspace.cache;
  stats.waves = recorder_->wave_count();
  stats.host_waits = recorder_->wait_count();
  stats.read_back_bytes = pass_->read_back_bytes();
  stats.atlas = atlas_->Stats();
  return stats;
}

}  // namespace gguf_shard
