#include "validate/residency_map.h"

#include <algorithm>

#include "atlas/residency_plan.h"
#include "atlas/run_table.h"
#include "atlas/schedule.h"
#include "runtime/weights.h"
#include "validate/context.h"

namespace gguf_shard {

Result<ResidencyMap> MapResidency(const std::filesystem::path& map_path, double share) {
  GS_ASSIGN(const auto model, Model::Load(map_path));
  const EngineOptions engine = ProbeOptions();
  GS_ASSIGN(const uint64_t smallest, MinimumPoolOf(*model, engine));
  AtlasOptions options;
  options.io_threads = kIoThreads;
  options.concurrent_pins = WorkerCountOf(engine);
  const auto wanted = static_cast<uint64_t>(static_cast<double>(model->weight_bytes()) * share);
  options.pool_bytes = std::max(smallest, wanted);
  const RunTable runs(model->map());
  const auto scheduled = ScheduleOf(model->weights());
  GS_ASSIGN(const Schedule schedule, Schedule::Create(model->map(), runs, scheduled));
  GS_ASSIGN(const ResidencyPlan plan, PlanResidency(model->map(), runs, schedule, options));
  ResidencyMap result;
  result.pool_bytes = options.pool_bytes;
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    if (plan.own_slot[i] == kNoSlot) continue;
    const Run& run = runs.run(i);
    if (!result.resident.empty() && result.resident.back().end_page() == run.first_page) {
      result.resident.back().page_count += run.page_count;
    } else {
      result.resident.push_back({run.first_page, run.page_count});
    }
  }
  std::sort(result.resident.begin(), result.resident.end(),
            [](const PageRange& a, const PageRange& b) { return a.first_page < b.first_page; });
  return result;
}

}  // namespace gguf_shard
