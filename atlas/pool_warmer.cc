#include "atlas/pool_warmer.h"

#include <sched.h>

#include <algorithm>
#include <system_error>

#include "core/bytes.h"
#include "core/huge_pages.h"

namespace gguf_shard {
namespace {

// A huge page: what the system gives at once.
constexpr uint64_t kStepSlots = kHugePageBytes / kPageBytes;

}  // namespace

void PoolWarmer::Start(const PagePool& pool) {
  const uint64_t steps = DivCeil(pool.page_count(), kStepSlots);
  const uint64_t processors = std::max(1u, std::thread::hardware_concurrency());
  try {
    while (threads_.size() < std::min({steps, processors, uint64_t{kMaxThreads}})) {
      threads_.emplace_back([this, &pool] { Work(pool); });
    }
  } catch (const std::system_error&) {
    // The reads touch what these threads do not.
  }
}

void PoolWarmer::Work(const PagePool& pool) {
  // Only what the processors have left over: opening the model and checking its first pages come
  // first. A refusal changes nothing but that.
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);
  while (!stopping_.load(std::memory_order_relaxed)) {
    const uint64_t first = next_slot_.fetch_add(kStepSlots, std::memory_order_relaxed);
    if (first >= pool.page_count()) return;
    if (!pool.Populate(first, std::min(kStepSlots, pool.page_count() - first))) return;
  }
}

PoolWarmer::~PoolWarmer() {
  stopping_.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace gguf_shard
