#include "atlas/atlas.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "atlas/host_atlas.h"
#include "atlas/page_pool.h"
#include "atlas/residency_plan.h"
#include "atlas/schedule.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kMaxConcurrentPins = 1u << 16;

AtlasOptions WithinLimits(AtlasOptions options) {
  options.io_threads = std::clamp(options.io_threads, 1u, kMaxIoThreads);
  options.concurrent_pins = std::clamp(options.concurrent_pins, 1u, kMaxConcurrentPins);
  return options;
}

// Slots and runs are numbered with 32 bits.
Result<void> CheckPageCount(const CoreMap& map) {
  uint64_t page_count = 0;
  for (const MapTensor& tensor : map.tensors) {
    page_count += std::min(tensor.layout.page_count, uint64_t{1} << 40);
    if (page_count < std::numeric_limits<uint32_t>::max()) continue;
    return Fail(Error(ErrorCode::kTooLarge, "the model has more pages than an atlas can number")
                    .File(map.core.file)
                    .Expected("less than 16 TiB of pages"));
  }
  return {};
}

}  // namespace

std::string_view IoMethodName(IoMethod method) {
  switch (method) {
    case IoMethod::kAuto:
      return "auto";
    case IoMethod::kUring:
      return "uring";
    case IoMethod::kThreads:
      return "threads";
  }
  return "unknown";
}

PinnedRun::PinnedRun(PinnedRun&& other) noexcept
    : atlas_(std::exchange(other.atlas_, nullptr)),
      run_index_(other.run_index_),
      pages_(std::exchange(other.pages_, nullptr)) {}

PinnedRun& PinnedRun::operator=(PinnedRun&& other) noexcept {
  std::swap(atlas_, other.atlas_);
  std::swap(run_index_, other.run_index_);
  std::swap(pages_, other.pages_);
  return *this;
}

PinnedRun::~PinnedRun() {
  if (atlas_ != nullptr) atlas_->Unpin(run_index_);
}

Atlas::~Atlas() = default;

PinnedRun Atlas::MakeHandle(uint32_t run_index, const std::byte* pages) {
  return PinnedRun(this, run_index, pages);
}

Result<std::unique_ptr<Atlas>> Atlas::Open(const CoreMap& map, PageSource& source,
                                           std::vector<uint32_t> scheduled_tensors,
                                           const AtlasOptions& given_options) {
  GS_TRY(CheckPageCount(map));
  const AtlasOptions options = WithinLimits(given_options);
  RunTable runs(map);
  GS_ASSIGN(Schedule schedule, Schedule::Create(map, runs, scheduled_tensors));
  GS_ASSIGN(ResidencyPlan plan, PlanResidency(map, runs, schedule, options));
  GS_ASSIGN(PagePool pool, PagePool::Allocate(plan.pool_pages));
  // The ring is registered with the kernel, which needs its memory. Everything else gets it while
  // the first pages are read: doing it here would only delay the first token.
  GS_TRY(pool.Touch(plan.ring_first_slot, plan.ring_pages));
  auto atlas = std::make_unique<HostAtlas>(map, source, std::move(runs), std::move(schedule),
                                           std::move(plan), std::move(pool), options);
  GS_TRY(atlas->Start(source, options));
  return atlas;
}

uint64_t Atlas::MinimumPoolBytes(const CoreMap& map, std::span<const uint32_t>,
                                 const AtlasOptions& options) {
  return MinimumPoolPages(RunTable(map), WithinLimits(options)) * kPageBytes;
}

}  // namespace gguf_shard
