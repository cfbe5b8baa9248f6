// How fast it is, as a share of what this machine can do: each limit is measured in the same run,
// right before or after, and does the least that the work cannot do without.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "core/cancel.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/page.h"
#include "core/plain_read.h"
#include "delta/apply.h"
#include "delta/create.h"
#include "forge/shard.h"
#include "forge/unpack.h"
#include "runtime/speed_estimate.h"
#include "runtime/weights.h"
#include "runtime/worker_pool.h"
#include "validate/check_list.h"
#include "validate/context.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kMegabyte = 1e6;

// Seconds of the fastest of a few goes, for at least so long: what disturbs one need not disturb
// the next.
template <typename Work>
Result<double> FastestSeconds(double at_least, const Work& work) {
  double fastest = 1e9;
  const auto start = Clock::now();
  do {
    GS_TRY(CheckCancelled());
    const auto go = Clock::now();
    GS_TRY(work());
    fastest = std::min(fastest, SecondsSince(go));
  } while (SecondsSince(start) < at_least);
  return fastest;
}

Measurement Rate(std::string name, uint64_t bytes, double seconds, double limit_seconds,
                 std::string limit_name) {
  const double megabytes = static_cast<double>(bytes) / kMegabyte;
  return {std::move(name), megabytes / seconds, "MB/s", megabytes / limit_seconds,
          std::move(limit_name)};
}

Outcome Report(std::vector<Measurement> measurements) {
  std::string text;
  for (const Measurement& one : measurements) {
    text += fmt::format("{}{} {:.0f} {}, {:.0f} % of {}", text.empty() ? "" : "; ", one.name,
                        one.value, one.unit, one.ratio() * 100, one.limit_name);
  }
  Outcome outcome = Passed(std::move(text));
  outcome.measurements = std::move(measurements);
  return outcome;
}

// The whole core in order, several direct reads at a time.
Result<void> ReadCore(const CoreFile& core, const PagePool& pool, WorkerPool& workers,
                      Progress& progress) {
  constexpr uint64_t kPieces = 4;
  const uint64_t piece_pages = pool.page_count() / kPieces;
  const uint64_t all = core.map().core.page_count;
  std::atomic<uint64_t> next{0};
  return workers.TryForEach(kPieces, [&](size_t reader, uint32_t) -> Result<void> {
    while (true) {
      GS_TRY(CheckCancelled());
      const uint64_t first = next.fetch_add(piece_pages);
      if (first >= all) return {};
      const uint64_t count = std::min(piece_pages, all - first);
      GS_TRY(core.ReadRaw(first, {pool.slot(reader * piece_pages), count * kPageBytes}));
      progress.Advance(count * kPageBytes);
    }
  });
}

// SHA-256 of a file is one thread's work: seconds for so many bytes.
Result<double> Sha256Seconds(const PagePool& pool, uint64_t byte_size) {
  const std::span<const std::byte> bytes(pool.slot(0), pool.page_count() * kPageBytes);
  GS_ASSIGN(const double seconds, FastestSeconds(0.2, [&bytes]() -> Result<void> {
              static_cast<void>(Sha256(bytes));
              return {};
            }));
  return seconds * static_cast<double>(byte_size) / static_cast<double>(bytes.size());
}

// Sets each limit, for `bytes` of the core: the disk, or where files are hashed the hash when that
// is slower.
void SetLimits(std::vector<Measurement>& depths, uint64_t bytes, double read_seconds,
               double sha_seconds) {
  for (Measurement& one : depths) {
    const bool by_hash = &one == &depths.back() && sha_seconds > read_seconds;
    one.limit_name = by_hash ? "one thread's SHA-256, slower than the disk" : "direct reads";
    one.limit = static_cast<double>(bytes) / kMegabyte / (by_hash ? sha_seconds : read_seconds);
  }
}

Result<Outcome> MeasureVerification(ValidationContext& context) {
  GS_ASSIGN(const CoreFile* core, context.core());
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(2048));
  GS_TRY(pool.Touch(0, pool.page_count()));
  GS_ASSIGN(const auto workers, WorkerPool::Create(4));
  const uint64_t bytes = core->map().core.page_count * kPageBytes;
  Progress& progress = context.byte_progress();
  const auto read = [&] {
    progress.Start("direct reads", bytes);
    return ReadCore(*core, pool, *workers, progress);
  };
  GS_ASSIGN(const double before, FastestSeconds(0.2, read));
  std::vector<Measurement> measurements;
  // The deepest, which hashes files, comes last.
  for (const VerifyDepth depth : {VerifyDepth::kFast, VerifyDepth::kStandard, VerifyDepth::kFull}) {
    GS_ASSIGN(const double seconds, FastestSeconds(0.2, [&]() -> Result<void> {
                GS_TRY(VerifyCore(context.options().map_path, depth, progress));
                return {};
              }));
    measurements.push_back(Rate(fmt::format("verification, {}", VerifyDepthName(depth)), bytes,
                                seconds, before, "direct reads"));
  }
  GS_ASSIGN(const double after, FastestSeconds(0.2, read));
  GS_ASSIGN(const double hash, Sha256Seconds(pool, SourceBytes(core->map())));
  SetLimits(measurements, bytes, std::min(before, after), hash);
  return Report(std::move(measurements));
}

// More than the processor's caches hold: pages of the core, again and again.
Result<Outcome> MeasureTags(ValidationContext& context) {
  constexpr uint64_t kPages = 32768;
  context.progress().StartSteps("throughput.tags", 3);
  GS_ASSIGN(const CoreFile* core, context.core());
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(kPages));
  const uint64_t count = std::min(kPages, core->map().core.page_count);
  for (uint64_t slot = 0; slot < kPages; slot += count) {
    const uint64_t pages = std::min(count, kPages - slot);
    GS_TRY(core->ReadRaw(0, {pool.slot(slot), static_cast<size_t>(pages * kPageBytes)}));
  }
  context.progress().Advance(1);
  volatile uint64_t sink = 0;
  GS_ASSIGN(const double read_seconds, FastestSeconds(0.2, [&]() -> Result<void> {
              sink = sink + PlainRead(pool.slot(0), kPages * kPageBytes);
              return {};
            }));
  context.progress().Advance(1);
  GS_ASSIGN(const double tag_seconds, FastestSeconds(0.2, [&]() -> Result<void> {
              for (uint64_t slot = 0; slot < kPages; ++slot) {
                GS_TRY(CheckPage(core->map().core.id, slot % count, PageAt(pool.slot(0), slot)));
              }
              return {};
            }));
  return Report({Rate("tag check, one thread", kPages * kPageBytes, tag_seconds, read_seconds,
                      "plain memory reads")});
}

// Runs that are not there, one after the other, each with its check and a change of the page table;
// against reads of the same pages.
Result<Outcome> MeasureSwaps(ValidationContext& context) {
  constexpr size_t kMostRuns = 400;
  GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
  const auto source = MakeCorePageSource(model->core());
  AtlasOptions options;
  options.io_threads = 1;
  options.concurrent_pins = 1;
  options.prefetch_distance = 0;
  options.pool_bytes = Atlas::MinimumPoolBytes(model->map(), {}, options);
  GS_ASSIGN(const auto atlas, Atlas::Open(model->map(), *source, {}, options));
  auto random = context.RandomOf("throughput.swaps");
  std::vector<uint32_t> runs(std::min<size_t>(kMostRuns, 4 * atlas->run_table().run_count()));
  for (uint32_t& run : runs) run = static_cast<uint32_t>(random() % atlas->run_table().run_count());
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(atlas->run_table().max_run_pages()));
  GS_TRY(pool.Touch(0, pool.page_count()));
  const auto read_start = Clock::now();
  context.progress().StartSteps("throughput.swaps", 2 * runs.size());
  for (const uint32_t index : runs) {
    context.progress().Advance(1);
    const Run& run = atlas->run_table().run(index);
    GS_TRY(source->Read(run.first_page, {pool.slot(0), size_t{run.page_count} * kPageBytes}));
  }
  const double read_seconds = SecondsSince(read_start);
  const auto start = Clock::now();
  for (const uint32_t index : runs) {
    context.progress().Advance(1);
    GS_TRY(atlas->Pin(index));
  }
  const double seconds = SecondsSince(start);
  const auto count = static_cast<double>(runs.size());
  Measurement swaps{"swaps", count / seconds, "per second", count / read_seconds, "direct reads"};
  Measurement latency{"latency of a swap", seconds / count * 1e6, "microseconds", 0, ""};
  Outcome outcome = Report({swaps});
  outcome.happened += fmt::format("; {:.0f} microseconds each", latency.value);
  outcome.measurements.push_back(latency);
  outcome.sampled =
      fmt::format("{} runs of pages by chance, hardly any of them there", runs.size());
  return outcome;
}

Result<void> CopyAndSync(const fs::path& from, const fs::path& to) {
  GS_ASSIGN(const File source, File::OpenRead(from));
  GS_ASSIGN(OutputFile target, OutputFile::Create(to, Overwrite::kAllow));
  std::vector<std::byte> buffer(size_t{4} << 20);
  for (uint64_t at = 0; at < source.size_bytes();) {
    const auto piece = std::span(buffer).first(
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), source.size_bytes() - at)));
    GS_TRY(source.ReadAt(at, piece));
    GS_TRY(target.WriteAt(at, piece));
    at += piece.size();
  }
  return target.Commit();
}

Result<Outcome> MeasureShardAndDelta(ValidationContext& context) {
  GS_ASSIGN(const CoreFile* core, context.core());
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("throughput"));
  const uint64_t wanted_bytes = uint64_t{context.options().full ? 512u : 24u} << 20;
  GS_ASSIGN(const SampleModel sample,
            MakeSampleModel(*core, folder, context.options().seed, wanted_bytes));
  NoProgress progress;
  context.progress().StartSteps("throughput.files", 4);
  std::error_code error;
  const uint64_t bytes = fs::file_size(sample.base_gguf, error);
  GS_ASSIGN(const double copy, FastestSeconds(0.1, [&] {
              return CopyAndSync(sample.base_gguf, folder / "copy.gguf");
            }));
  context.progress().Advance(1);
  GS_ASSIGN(const double shard, FastestSeconds(0.1, [&]() -> Result<void> {
              ShardOptions options;
              options.output_directory = folder / "again";
              options.overwrite = Overwrite::kAllow;
              GS_TRY(ShardModel(sample.base_gguf, options, progress));
              return {};
            }));
  context.progress().Advance(1);
  GS_ASSIGN(const OpenedModel base, OpenModel(sample.base_gguf));
  GS_ASSIGN(const OpenedModel target, OpenModel(sample.target_gguf));
  CreateOptions create_options;
  create_options.overwrite = Overwrite::kAllow;
  GS_ASSIGN(const double create, FastestSeconds(0.1, [&]() -> Result<void> {
              GS_TRY(CreatePatch(*base.view, *target.view, folder / "p.sgdelta", create_options,
                                 progress));
              return {};
            }));
  context.progress().Advance(1);
  GS_ASSIGN(const PatchReader reader, PatchReader::Open(sample.patch));
  GS_ASSIGN(const auto view, PatchedView::Create(reader, *base.view));
  ApplyOptions apply_options;
  apply_options.overwrite = Overwrite::kAllow;
  GS_ASSIGN(const double apply, FastestSeconds(0.1, [&]() -> Result<void> {
              GS_TRY(ApplyToGguf(reader, *view, folder / "out.gguf", apply_options, progress));
              return {};
            }));
  Outcome outcome = Report({Rate("shard", bytes, shard, copy, "a synced copy"),
                            Rate("delta create", bytes, create, copy, "a synced copy"),
                            Rate("delta apply", bytes, apply, copy, "a synced copy")});
  outcome.sampled = sample.description;
  return outcome;
}

Result<BudgetPoint> MeasureBudget(ValidationContext& context, uint64_t pool_bytes,
                                  const MachineSpeed& machine) {
  GS_ASSIGN(auto model, Model::Load(context.options().map_path));
  EngineOptions options = ProbeOptions();
  options.all_logits = false;
  options.io_method = IoMethod::kAuto;
  options.pool_bytes = pool_bytes;
  GS_ASSIGN(const SpeedEstimate estimate, EstimateSpeed(*model, options, pool_bytes, machine));
  GS_ASSIGN(const auto tokens, context.PromptTokens());
  GS_ASSIGN(const auto engine, Engine::Open(std::move(model), options));
  GS_TRY(engine->Evaluate(tokens));
  GS_ASSIGN(const EngineStats before, engine->Stats());
  const uint32_t count = context.core_is_large() && !context.options().full ? 2 : 16;
  const auto start = Clock::now();
  for (uint32_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    GS_TRY(engine->Evaluate({&tokens[i % tokens.size()], 1}));
  }
  const double seconds = SecondsSince(start);
  GS_ASSIGN(const EngineStats after, engine->Stats());
  const auto of = [&](uint64_t AtlasStats::*field) {
    return static_cast<double>(after.atlas.*field - before.atlas.*field);
  };
  const double there = of(&AtlasStats::page_hits) + of(&AtlasStats::prefetch_covered_pages);
  const double all = there + of(&AtlasStats::stalled_pages);
  BudgetPoint point;
  point.pool_bytes = pool_bytes;
  point.tokens_per_second = count / seconds;
  point.expected_tokens_per_second = 1 / std::max(1e-9, estimate.seconds_per_token());
  point.hit_ratio = all > 0 ? std::clamp(of(&AtlasStats::page_hits) / all, 0.0, 1.0) : 1;
  point.bytes_per_token = of(&AtlasStats::bytes_read) / count;
  return point;
}

Result<Outcome> MeasureTokens(ValidationContext& context) {
  GS_ASSIGN(const auto model, Model::Load(context.options().map_path));
  GS_ASSIGN(const MachineSpeed machine, MeasureMachine(*model, 0));
  GS_ASSIGN(const uint64_t smallest, MinimumPoolOf(*model, ProbeOptions()));
  const uint64_t all = std::max(smallest, model->weight_bytes());
  Outcome outcome;
  context.progress().StartSteps("throughput.tokens", 5);
  for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const auto pool = static_cast<uint64_t>(static_cast<double>(all) * share);
    GS_ASSIGN(const BudgetPoint point, MeasureBudget(context, std::max(pool, smallest), machine));
    outcome.budgets.push_back(point);
    context.progress().Advance(1);
    outcome.measurements.push_back({fmt::format("tokens/s, pool {} KiB", point.pool_bytes >> 10),
                                    point.tokens_per_second, "tokens/s",
                                    point.expected_tokens_per_second, "what `plan` expects"});
  }
  outcome.happened = fmt::format(
      "{:.1f} tokens/s with the smallest pool, {:.1f} with all pages in memory",
      outcome.budgets.front().tokens_per_second, outcome.budgets.back().tokens_per_second);
  return outcome;
}

}  // namespace

void AddThroughputChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kThroughput;
  checks.push_back({"throughput.verify", group, "verification beside direct reads of the same file",
                    MeasureVerification});
  checks.push_back(
      {"throughput.tags", group, "the tag check beside plain reads of memory", MeasureTags});
  checks.push_back({"throughput.swaps", group, "page swaps beside direct reads of the same pages",
                    MeasureSwaps});
  checks.push_back({"throughput.files", group,
                    "shard, delta create and delta apply beside a synced copy",
                    MeasureShardAndDelta});
  checks.push_back({"throughput.tokens", group,
                    "tokens per second over budgets beside what disk and kernels allow",
                    MeasureTokens});
}

}  // namespace gguf_shard
