#include "validate/run_trials.h"

#include <fmt/format.h>

#include <algorithm>

#include "gpu/device.h"
#include "runtime/device_plan.h"

namespace gguf_shard {
namespace {

// As much of the device as its driver offers: the pool is chosen by itself.
Result<uint64_t> SmallestDevicePool(const ValidationContext& context, EngineOptions options,
                                    uint32_t device_index) {
  GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
  gpu::DeviceOptions device_options;
  device_options.index = static_cast<int32_t>(device_index);
  GS_ASSIGN(const auto device, gpu::Device::Open(device_options));
  options.pool_bytes = kPageBytes;
  GS_ASSIGN(const DevicePlan plan,
            PlanDevice(*model, options, *device, device->memory_limit_bytes()));
  return VulkanAtlas::MinimumMemoryBytes(model->map(), *device, plan.atlas);
}

}  // namespace

uint64_t SurvivedFailures(const CoreFile& core, uint64_t page) {
  constexpr uint64_t kReadAheadBytes = uint64_t{64} << 10;
  return core.page_offset(page) < 2 * core.page_offset(0) + kReadAheadBytes ? 2 : 5;
}

uint64_t TensorPage(const CoreFile& core, std::mt19937_64& random) {
  const auto& tensors = core.map().tensors;
  while (true) {
    const MapTensor& tensor = tensors[random() % tensors.size()];
    if (tensor.layout.page_count == 0) continue;
    return tensor.first_page + random() % tensor.layout.page_count;
  }
}

std::string SayLogits(const Result<std::vector<float>>& logits) {
  return logits ? "other logits" : logits.error().ToString();
}

Result<RunTrials> RunTrials::Create(ValidationContext& context, RunPlace place) {
  GS_ASSIGN(const CoreFile* core, context.core());
  GS_ASSIGN(auto tokens, context.PromptTokens());
  if (place == RunPlace::kProcessor) {
    GS_ASSIGN(const std::vector<float>* expected, context.reference_logits());
    return RunTrials{context, place, *core, std::move(tokens), *expected, ProbeOptions()};
  }
  GS_ASSIGN(const DeviceReference* device, context.device_reference());
  return RunTrials{context, place, *core, std::move(tokens), device->logits, device->options};
}

void RunTrials::ChoosePath(uint64_t number) {
  if (place == RunPlace::kProcessor) {
    options.io_method = context.readers().Choose(number);
  } else if (const auto device = context.device_reference()) {
    options.transfer = (*device)->Choose(number);
  }
}

std::string RunTrials::PathText() const {
  if (place == RunPlace::kProcessor) return "read " + context.readers().text;
  const auto device = context.device_reference();
  return device ? "brought to the device " + (*device)->text : "";
}

uint64_t RunTrials::PathCount() const {
  if (place == RunPlace::kProcessor) return context.readers().methods.size();
  const auto device = context.device_reference();
  return device ? (*device)->methods.size() : 1;
}

Result<std::vector<float>> RunTrials::Run() const {
  return ProbeLogits(context.options().map_path, options, tokens);
}

Result<std::vector<float>> RunTrials::Run(FaultFileOperations& operations) const {
  const ScopedFileOperations scope(operations);
  return Run();
}

Result<uint64_t> RunTrials::SmallestPool() const {
  if (place == RunPlace::kDevice) {
    GS_ASSIGN(const DeviceReference* device, context.device_reference());
    return SmallestDevicePool(context, options, device->index);
  }
  GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
  return MinimumPoolOf(*model, options);
}

uint64_t RunTrials::Count(uint64_t share) const {
  const uint64_t count = std::max<uint64_t>(PathCount(), context.FaultsOf(share));
  if (!context.core_is_large()) return count;
  return std::min<uint64_t>(count, context.options().full ? 12 : 2);
}

void RunTrials::CountNamed(uint64_t page, ErrorCode code, const Result<std::vector<float>>& logits,
                           std::string_view fault, Outcome& outcome) const {
  ++outcome.injected;
  const bool named = !logits && logits.error().code() == code &&
                     (!logits.error().page_index() || *logits.error().page_index() == page);
  outcome.detected += named ? 1 : 0;
  const bool same = logits && *logits == expected;
  outcome.harmless += same ? 1 : 0;
  if (named || same) return;
  Finding finding;
  finding.what = fmt::format("{}: {}", fault, SayLogits(logits));
  finding.owner = core.PageOwner(page);
  finding.pages = {page, 1};
  outcome.findings.push_back(std::move(finding));
}

void RunTrials::CountClean(const Result<std::vector<float>>& logits, std::string_view fault,
                           Outcome& outcome) const {
  ++outcome.clean;
  if (logits && *logits == expected) return;
  ++outcome.false_alarms;
  Finding finding;
  finding.what = fmt::format("{}: {}", fault, SayLogits(logits));
  outcome.findings.push_back(std::move(finding));
}

}  // namespace gguf_shard
