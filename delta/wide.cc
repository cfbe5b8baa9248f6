#include "delta/wide.h"

#include <algorithm>
#include <atomic>

namespace gguf_shard {
namespace {

Wide WidestHere() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return Wide::kAvx512;
  }
  if (__builtin_cpu_supports("avx2")) return Wide::kAvx2;
#endif
  return Wide::kNone;
}

std::atomic<Wide>& InUse() {
  static std::atomic<Wide> wide = WidestHere();
  return wide;
}

}  // namespace

Wide WideInUse() { return InUse().load(std::memory_order_relaxed); }

void LimitWide(Wide limit) { InUse() = std::min(limit, WidestHere()); }

}  // namespace gguf_shard
