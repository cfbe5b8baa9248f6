#include "cli/run_statistics.h"

#include <fmt/format.h>

#include "cli/device_statistics.h"
#include "cli/format.h"

namespace gguf_shard {
namespace {

uint64_t BytesPerToken(const Generation& generation) {
  return generation.generation_passes == 0
             ? 0
             : generation.generation_bytes_read / generation.generation_passes;
}

std::string SpeedText(const RunStatistics& statistics) {
  const Generation& generation = statistics.generation;
  return fmt::format(
      "prompt      {} tokens, first token after {:.2f} s ({:.2f} tokens/s); ready in {:.2f} s\n"
      "generation  {} tokens in {:.2f} s ({:.2f} tokens/s); stopped: {}\n",
      generation.prompt_tokens, generation.first_token_seconds,
      generation.prompt_tokens_per_second(), statistics.load_seconds, generation.tokens.size(),
      generation.generation_seconds, generation.generation_tokens_per_second(),
      StopReasonName(generation.stop_reason));
}

std::string ExpectedText(const RunStatistics& statistics) {
  if (!statistics.expected) return {};
  const SpeedEstimate& expected = *statistics.expected;
  return fmt::format(
      "expected    {:.2f} tokens/s, limited by {}; achieved {:.0f} % of it\n",
      1 / expected.seconds_per_token(), SpeedLimitName(expected.limit),
      100 * statistics.generation.generation_tokens_per_second() * expected.seconds_per_token());
}

std::string PageText(const RunStatistics& statistics) {
  const AtlasStats& atlas = statistics.engine.atlas;
  std::string text = PageUseText(atlas);
  text += fmt::format("read        {} in {} reads by {}, {} per generated token; {}\n",
                      FormatBytes(atlas.bytes_read), atlas.reads, IoMethodName(atlas.io_method),
                      FormatBytes(BytesPerToken(statistics.generation)), statistics.page_source);
  text += fmt::format("evictions   {} runs\n", atlas.evictions);
  if (atlas.retried_pages > 0) {
    text += fmt::format("retried     {} pages whose tag was right the second time only\n",
                        atlas.retried_pages);
  }
  return text;
}

std::string MemoryText(const RunStatistics& statistics) {
  const AtlasStats& atlas = statistics.engine.atlas;
  const MemoryPlan& plan = statistics.plan;
  std::string text =
      fmt::format("pool        {} used at most of {} (pinned {}, ring {}, cache {})\n",
                  FormatBytes(atlas.peak_pool_bytes), FormatBytes(atlas.pool_bytes),
                  FormatBytes(atlas.pinned_bytes), FormatBytes(atlas.ring_bytes),
                  FormatBytes(atlas.cache_bytes));
  text += fmt::format("keys/values {} {} for {} tokens; activations {} for batches of {}\n",
                      FormatBytes(plan.cache_bytes), KvTypeName(statistics.kv_type),
                      plan.shape.context_length, FormatBytes(plan.workspace_bytes),
                      plan.shape.batch_tokens);
  text += fmt::format("memory      {} resident at most",
                      FormatBytes(statistics.engine.process.peak_resident_bytes));
  if (plan.budget_bytes > 0) {
    text += fmt::format(" of a budget of {}", FormatBytes(plan.budget_bytes));
  }
  return text + "\n";
}

}  // namespace

std::string StatisticsText(const RunStatistics& statistics) {
  std::string text = SpeedText(statistics) + ExpectedText(statistics) + PageText(statistics);
  if (statistics.engine.device) text += DeviceStatisticsText(statistics.engine, statistics.plan);
  return text + MemoryText(statistics);
}

nlohmann::ordered_json StatisticsJson(const RunStatistics& statistics) {
  const Generation& generation = statistics.generation;
  const AtlasStats& atlas = statistics.engine.atlas;
  const MemoryPlan& plan = statistics.plan;
  nlohmann::ordered_json json = {
      {"prompt_tokens", generation.prompt_tokens},
      {"generated_tokens", generation.tokens.size()},
      {"stop_reason", StopReasonName(generation.stop_reason)},
      {"seed", statistics.seed},
      {"load_seconds", statistics.load_seconds},
      {"time_to_first_token_seconds", generation.first_token_seconds},
      {"generation_seconds", generation.generation_seconds},
      {"prompt_tokens_per_second", generation.prompt_tokens_per_second()},
      {"generation_tokens_per_second", generation.generation_tokens_per_second()},
      {"page_hits", atlas.page_hits},
      {"prefetch_covered_pages", atlas.prefetch_covered_pages},
      {"stalled_pages", atlas.stalled_pages},
      {"stalls", atlas.stalls},
      {"stall_seconds", atlas.stall_seconds},
      {"bytes_read", atlas.bytes_read},
      {"bytes_read_per_generated_token", BytesPerToken(generation)},
      {"reads", atlas.reads},
      {"read_seconds", atlas.read_seconds},
      {"evictions", atlas.evictions},
      {"retried_pages", atlas.retried_pages},
      {"page_source", statistics.page_source},
      {"io_method", IoMethodName(atlas.io_method)},
      {"memory_budget_bytes", plan.budget_bytes},
      {"peak_resident_bytes", statistics.engine.process.peak_resident_bytes},
      {"pool_bytes", atlas.pool_bytes},
      {"peak_pool_bytes", atlas.peak_pool_bytes},
      {"pinned_bytes", atlas.pinned_bytes},
      {"ring_bytes", atlas.ring_bytes},
      {"cache_bytes", atlas.cache_bytes},
      {"kv_cache_bytes", plan.cache_bytes},
      {"activation_bytes", plan.workspace_bytes},
      {"kv_type", KvTypeName(statistics.kv_type)},
      {"context_length", plan.shape.context_length},
      {"batch_tokens", plan.shape.batch_tokens},
      {"threads", plan.shape.worker_count},
  };
  if (statistics.engine.device) json["device"] = DeviceStatisticsJson(statistics.engine);
  if (statistics.expected) {
    json["expected_tokens_per_second"] = 1 / statistics.expected->seconds_per_token();
    json["expected_limit"] = SpeedLimitName(statistics.expected->limit);
  }
  return json;
}

}  // namespace gguf_shard
