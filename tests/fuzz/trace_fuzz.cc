// The reader of traces, and the replay of what it accepts.
#include <span>

#include "atlas/simulation.h"
#include "atlas/trace.h"
#include "core/page.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

// Beyond it a replay is only slow: sizes are the trace's to choose.
constexpr uint64_t kMaxReplayedBytes = uint64_t{1} << 34;

void TryTrace(std::span<const std::byte> bytes) {
  const auto trace = ParseTrace(bytes);
  if (!trace) {
    GS_FUZZ_EXPECT(!trace.error().ToString().empty());
    return;
  }
  uint64_t used_bytes = 0;
  size_t use_count = 0;
  for (size_t pass = 0; pass < trace->passes.size(); ++pass) {
    for (const uint32_t shard : trace->UsesOf(pass)) {
      GS_FUZZ_EXPECT(shard < trace->shards.size());
      used_bytes += uint64_t{trace->shards[shard].page_count} * kPageBytes;
      ++use_count;
    }
  }
  GS_FUZZ_EXPECT(use_count == trace->uses.size());
  GS_FUZZ_EXPECT(UsedShardBytes(*trace) <= used_bytes);
  if (used_bytes > kMaxReplayedBytes) return;
  for (const SimulatedPolicy policy : kSimulatedPolicies) {
    const auto run = Simulate(*trace, policy, UsedShardBytes(*trace) / 2);
    GS_FUZZ_EXPECT(run && run->all.read_bytes <= run->all.used_bytes &&
                   run->all.used_bytes <= used_bytes);
  }
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  gguf_shard::TryTrace(std::as_bytes(std::span(data, size_bytes)));
  return 0;
}
