#include "atlas/vulkan_atlas.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "atlas/vulkan_device_atlas.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kMaxRuns = 1u << 20;  // of a wave, or held

VulkanAtlasOptions WithinLimits(VulkanAtlasOptions options) {
  options.io_threads = std::clamp(options.io_threads, 1u, kMaxIoThreads);
  options.runs_per_wave = std::clamp(options.runs_per_wave, 1u, kMaxRuns);
  if (options.held_runs != VulkanAtlasOptions::kAsManyAsFit) {
    options.held_runs = std::min(options.held_runs, kMaxRuns);
  }
  return options;
}

// The residency machine's view of the options.
AtlasOptions MachineOptions(const VulkanAtlasOptions& options, uint64_t pool_pages) {
  AtlasOptions machine;
  machine.pool_bytes = pool_pages * kPageBytes;
  machine.prefetch_distance = options.prefetch_distance;
  machine.io_threads = options.io_threads;
  const bool as_many_as_fit = options.held_runs == VulkanAtlasOptions::kAsManyAsFit;
  machine.concurrent_pins = options.runs_per_wave + (as_many_as_fit ? 1 : options.held_runs);
  machine.max_ring_bytes = options.max_ring_bytes;
  return machine;
}

uint64_t CorePages(const CoreMap& map) {
  uint64_t pages = map.core.page_count;
  for (const MapTensor& tensor : map.tensors) pages = std::max(pages, tensor.pages().end_page());
  return pages;
}

uint32_t LanePages(const RunTable& runs) { return std::max(kMaxReadPages, runs.max_run_pages()); }

uint64_t MostChanges(const RunTable& runs, const gpu::Device& device) {
  // A run in two slabs is two changes.
  return runs.run_count() + VulkanSlots::BytesFor(device, runs.total_pages()) / kPageBytes -
         runs.total_pages();
}

// The methods that may be tried, best first.
TransferMethod ChooseTransfer(const gpu::Device& device, TransferMethod wish) {
  if (wish != TransferMethod::kAuto) return wish;
  if (device.info().unified_memory) return TransferMethod::kDirect;
  return device.info().imports_host_memory ? TransferMethod::kImported : TransferMethod::kUpload;
}

Result<void> CheckTransfer(const gpu::Device& device, TransferMethod transfer) {
  const gpu::DeviceInfo& info = device.info();
  const bool works = transfer == TransferMethod::kDirect     ? info.unified_memory
                     : transfer == TransferMethod::kImported ? info.imports_host_memory
                                                             : true;
  if (works) return {};
  return Fail(Error(ErrorCode::kUnsupported, "the device does not offer this way of loading pages")
                  .Found(std::string(TransferMethodName(transfer))));
}

// What is not slots.
uint64_t OverheadBytes(const CoreMap& map, const RunTable& runs, const gpu::Device& device,
                       const VulkanAtlasOptions& options) {
  return VulkanPageTable::BytesFor(CorePages(map), MostChanges(runs, device)) +
         VulkanLoader::BytesFor(ChooseTransfer(device, options.transfer), options.io_threads,
                                LanePages(runs));
}

// Memory that a driver maps is not always memory that a disk may write to.
bool ReadsIntoSlots(PageSource& source, const RunTable& runs, const VulkanSlots& slots,
                    const gpu::Device& device) {
  if (device.info().type == gpu::DeviceType::kCpu) return true;
  if (runs.run_count() == 0) return true;
  const auto piece = slots.Pieces(0, 1).front();
  if (piece.mapped == nullptr) return false;
  return source.Read(runs.run(0).first_page, {piece.mapped, kPageBytes}).has_value();
}

Result<void> CheckNumbers(const CoreMap& map) {
  if (CorePages(map) < std::numeric_limits<uint32_t>::max()) return {};
  return Fail(Error(ErrorCode::kTooLarge, "the model has more pages than an atlas can number")
                  .File(map.core.file)
                  .Expected("less than 16 TiB of pages"));
}

Result<VulkanDeviceAtlas::Parts> MakeParts(const CoreMap& map, PageSource& source,
                                           gpu::Device& device,
                                           const std::vector<uint32_t>& scheduled,
                                           VulkanAtlasOptions options) {
  RunTable runs(map);
  GS_ASSIGN(Schedule schedule, Schedule::Create(map, runs, scheduled));
  const uint64_t overhead = OverheadBytes(map, runs, device, options);
  const uint64_t minimum = VulkanAtlas::MinimumMemoryBytes(map, device, options);
  if (options.memory_bytes < minimum) {
    return Fail(
        Error(ErrorCode::kBudgetTooSmall, "the device memory for this model's pages is too small")
            .Expected(fmt::format("at least {} bytes", minimum))
            .Found(fmt::format("{} bytes", options.memory_bytes)));
  }
  const uint64_t slot_bytes = options.memory_bytes - overhead;
  GS_ASSIGN(auto slots, VulkanSlots::Allocate(device, runs.total_pages(), slot_bytes));
  if (options.held_runs == VulkanAtlasOptions::kAsManyAsFit) {
    const uint64_t frames = slots.slot_count() / std::max<uint32_t>(1, runs.max_run_pages());
    const uint64_t spare = frames > options.runs_per_wave ? frames - options.runs_per_wave : 0;
    options.held_runs = static_cast<uint32_t>(std::min<uint64_t>(spare, kMaxRuns));
  }
  const AtlasOptions machine = MachineOptions(options, slots.slot_count());
  GS_ASSIGN(ResidencyPlan plan, PlanResidency(map, runs, schedule, machine));
  TransferMethod transfer = ChooseTransfer(device, options.transfer);
  GS_TRY(CheckTransfer(device, transfer));
  if (transfer == TransferMethod::kDirect && !ReadsIntoSlots(source, runs, slots, device)) {
    transfer =
        device.info().imports_host_memory ? TransferMethod::kImported : TransferMethod::kUpload;
  }
  const uint64_t host_bytes = transfer == TransferMethod::kDirect ? 0 : options.host_cache_bytes;
  GS_ASSIGN(auto host_tier, HostTier::Create(runs, schedule, plan, host_bytes));
  GS_ASSIGN(auto table, VulkanPageTable::Create(device, CorePages(map), MostChanges(runs, device)));
  uint32_t wave_frames = options.runs_per_wave;
  if (!plan.everything_fits()) {
    const uint32_t frames = plan.frame_classes.front().frame_count - options.held_runs;
    wave_frames = std::max(wave_frames, frames / 2);
  }
  const uint32_t lane_pages = LanePages(runs);
  return VulkanDeviceAtlas::Parts{
      std::move(runs),  std::move(schedule), std::move(plan),      machine,
      std::move(slots), std::move(table),    std::move(host_tier), transfer,
      lane_pages,       wave_frames,         options.held_runs,    options.slot_hook};
}

}  // namespace

uint64_t VulkanAtlas::MinimumMemoryBytes(const CoreMap& map, const gpu::Device& device,
                                         const VulkanAtlasOptions& given_options) {
  const VulkanAtlasOptions options = WithinLimits(given_options);
  const RunTable runs(map);
  const uint64_t pages = MinimumPoolPages(runs, MachineOptions(options, 0));
  return OverheadBytes(map, runs, device, options) + VulkanSlots::BytesFor(device, pages);
}

uint64_t VulkanAtlas::ResidentMemoryBytes(const CoreMap& map, const gpu::Device& device,
                                          const VulkanAtlasOptions& given_options) {
  const VulkanAtlasOptions options = WithinLimits(given_options);
  const RunTable runs(map);
  return OverheadBytes(map, runs, device, options) +
         VulkanSlots::BytesFor(device, runs.total_pages());
}

Result<std::unique_ptr<VulkanAtlas>> VulkanAtlas::Open(const CoreMap& map, PageSource& source,
                                                       gpu::Device& device,
                                                       std::vector<uint32_t> scheduled_tensors,
                                                       const VulkanAtlasOptions& given_options) {
  GS_TRY(CheckNumbers(map));
  const VulkanAtlasOptions options = WithinLimits(given_options);
  GS_ASSIGN(auto parts, MakeParts(map, source, device, scheduled_tensors, options));
  auto atlas = std::make_unique<VulkanDeviceAtlas>(map, source, device, std::move(parts));
  GS_TRY(atlas->Start());
  return atlas;
}

}  // namespace gguf_shard
