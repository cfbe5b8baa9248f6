// What the runtime does with pages and vectors, on one thread (bench/kernels_table.py makes one
// table of it):
//
//   dram/TYPE/ISA        matrix-vector product over 1 GiB of weights, in runs of 128 KiB as the
//                        runtime makes them; bytes_per_second counts whole pages. of_plain_read:
//                        its rate over the rate of a plain read of the same memory, taken in turns
//                        with it, piece by piece, so that noise hits both
//   cached/TYPE/ISA      the same over 512 KiB
//   prompt/TYPE/ISA/N    N tokens against 64 MiB of weights; GMAC counts multiply-adds of 16-bit
//                        activations
//   tags/dram, cached    check of every page's tag, and of_plain_read as above
//   pack, unpack/TYPE    between a tensor's source bytes and its pages, in cache
//   attend/KV/ISA/N      64 queries (8 tokens, 8 heads of 64 columns) over N cached positions
//
// GGUF_SHARD_BENCH_MIB sets the size of the large working set.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>
#include <string>
#include <vector>

#include "core/huge_pages.h"
#include "core/plain_read.h"
#include "kernels/vector_ops.h"
#include "tests/kernels/test_matrix.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kColumns = 4096;
constexpr uint64_t kRunPages = 32;
constexpr uint64_t kPieceBytes = uint64_t{32} << 20;

uint64_t LargeBytes() {
  const char* text = std::getenv("GGUF_SHARD_BENCH_MIB");
  const uint64_t mebibytes = text == nullptr ? 1024 : std::strtoull(text, nullptr, 10);
  return std::max<uint64_t>(mebibytes << 20, 2 * kPieceBytes);
}

// One region of huge pages that all benchmarks fill in turn.
std::byte* Region() {
  static std::byte* const region = [] {
    void* memory =
        mmap(nullptr, LargeBytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    AskForHugePages(memory, LargeBytes());
    return static_cast<std::byte*>(memory);
  }();
  return region;
}

// Strips of one random matrix, repeated over `bytes` of the region.
class Weights {
 public:
  Weights(TensorType type, uint64_t bytes) : matrix_(Pattern(type)) {
    pages_per_strip_ = matrix_.layout.pages_per_strip();
    strips_per_run_ = std::max<uint64_t>(1, kRunPages / pages_per_strip_);
    const uint64_t run_bytes = strips_per_run_ * pages_per_strip_ * kPageBytes;
    run_count_ = std::max<uint64_t>(1, bytes / run_bytes);
    for (uint64_t run = 0; run < run_count_; ++run) {
      std::memcpy(Region() + run * run_bytes, matrix_.pages.data(), run_bytes);
    }
  }

  uint64_t run_count() const { return run_count_; }
  uint64_t run_bytes() const { return strips_per_run_ * pages_per_strip_ * kPageBytes; }
  uint64_t run_rows() const { return strips_per_run_ * matrix_.layout.tile_rows; }

  void Multiply(KernelIsa isa, uint64_t run_index, const ActivationBatch& x,
                std::span<const uint32_t> tokens, std::vector<float>& y) const {
    StripRun run = matrix_.RunAt(Region() + run_index * run_bytes(), 0, strips_per_run_);
    run.next_pages = Region() + (run_index + 1) % run_count_ * run_bytes();
    MatMul(isa, run, x, tokens, y.data(), run_rows());
    benchmark::ClobberMemory();
  }

 private:
  static TestMatrix Pattern(TensorType type) {
    const uint64_t rows = uint64_t{kRunPages} * GetTensorType(type).tile_rows;
    const TensorTypeInfo& info = GetTensorType(type);
    const uint64_t strip_pages = kColumns / info.tile_columns;
    const uint64_t strips = std::max<uint64_t>(1, kRunPages / strip_pages);
    return RandomMatrix(type, std::min(rows, strips * info.tile_rows), kColumns, 1);
  }

  TestMatrix matrix_;
  uint64_t pages_per_strip_;
  uint64_t strips_per_run_;
  uint64_t run_count_;
};

struct Batch {
  explicit Batch(uint32_t count)
      : x(MakeBatch(count, kColumns, RandomActivations(count, kColumns, 2))), tokens(count) {
    std::iota(tokens.begin(), tokens.end(), 0u);
  }
  ActivationBatch x;
  std::vector<uint32_t> tokens;
};

// Of this thread: other programs' turns on the processor do not count.
double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Times `work` on one piece of the region after the other, in turns with a plain read.
// work(offset) handles `step_bytes` from there on.
template <typename Work>
void AgainstPlainRead(benchmark::State& state, uint64_t step_bytes, Work work) {
  const uint64_t steps = std::max<uint64_t>(1, kPieceBytes / step_bytes);
  const uint64_t step_count = LargeBytes() / step_bytes;
  uint64_t next = 0;
  double work_seconds = 0;
  double read_seconds = 0;
  for (auto _ : state) {
    const double start = ThreadSeconds();
    for (uint64_t i = 0; i < steps; ++i) work((next + i) % step_count * step_bytes);
    const double seconds = ThreadSeconds() - start;
    next = (next + steps) % step_count;
    const double read_start = ThreadSeconds();
    for (uint64_t i = 0; i < steps; ++i) {
      const uint64_t offset = (next + i) % step_count * step_bytes;
      benchmark::DoNotOptimize(PlainRead(Region() + offset, step_bytes));
    }
    read_seconds += ThreadSeconds() - read_start;
    next = (next + steps) % step_count;
    work_seconds += seconds;
    state.SetIterationTime(seconds);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * steps * step_bytes));
  state.counters["of_plain_read"] = read_seconds / work_seconds;
}

void MatVecFromDram(benchmark::State& state, TensorType type, KernelIsa isa) {
  const Weights weights(type, LargeBytes());
  const Batch batch(1);
  std::vector<float> y(weights.run_rows());
  AgainstPlainRead(state, weights.run_bytes(), [&](uint64_t offset) {
    weights.Multiply(isa, offset / weights.run_bytes(), batch.x, batch.tokens, y);
  });
}

void MatVecFromCache(benchmark::State& state, TensorType type, KernelIsa isa) {
  const Weights weights(type, uint64_t{512} << 10);
  const Batch batch(1);
  std::vector<float> y(weights.run_rows());
  for (auto _ : state) {
    for (uint64_t i = 0; i < weights.run_count(); ++i) {
      weights.Multiply(isa, i, batch.x, batch.tokens, y);
    }
  }
  state.SetBytesProcessed(
      static_cast<int64_t>(state.iterations() * weights.run_count() * weights.run_bytes()));
}

void Prompt(benchmark::State& state, TensorType type, KernelIsa isa) {
  const auto tokens = static_cast<uint32_t>(state.range(0));
  const Weights weights(type, uint64_t{64} << 20);
  const Batch batch(tokens);
  std::vector<float> y(weights.run_rows() * tokens);
  uint64_t run = 0;
  for (auto _ : state) {
    weights.Multiply(isa, run, batch.x, batch.tokens, y);
    run = (run + 1) % weights.run_count();
  }
  const double products = static_cast<double>(state.iterations()) *
                          static_cast<double>(weights.run_rows()) * kColumns * tokens;
  state.counters["GMAC"] = benchmark::Counter(products / 1e9, benchmark::Counter::kIsRate);
}

void QuantizeActivations(benchmark::State& state) {
  const auto values = RandomActivations(1, kColumns, 3);
  ActivationBatch x = MakeBatch(1, kColumns, values);
  for (auto _ : state) {
    x.Quantize(0, values.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kColumns));
}

constexpr CoreId kCoreId = {std::byte{1}, std::byte{2}, std::byte{3}};

// Every page sealed as if the region began with page 0.
void SealRegion(uint64_t bytes) {
  std::memset(Region(), 0x35, bytes);
  for (uint64_t page = 0; page < bytes / kPageBytes; ++page) {
    SealPage(kCoreId, page, PageAt(Region(), page));
  }
}

uint64_t IntactPages(uint64_t offset, uint64_t bytes) {
  uint64_t intact = 0;
  for (uint64_t page = offset / kPageBytes; page < (offset + bytes) / kPageBytes; ++page) {
    intact += PageIsIntact(kCoreId, page, PageAt(static_cast<const std::byte*>(Region()), page));
  }
  return intact;
}

void TagsFromDram(benchmark::State& state) {
  SealRegion(LargeBytes());
  constexpr uint64_t kStepBytes = kRunPages * kPageBytes;
  uint64_t bad = 0;
  AgainstPlainRead(state, kStepBytes,
                   [&](uint64_t offset) { bad += kRunPages - IntactPages(offset, kStepBytes); });
  if (bad != 0) state.SkipWithError("a sealed page fails its tag");
}

void TagsFromCache(benchmark::State& state) {
  constexpr uint64_t kBytes = kRunPages * kPageBytes;
  SealRegion(kBytes);
  uint64_t bad = 0;
  for (auto _ : state) bad += kRunPages - IntactPages(0, kBytes);
  if (bad != 0) state.SkipWithError("a sealed page fails its tag");
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes));
}

// One strip, from source bytes to pages or back.
void Pack(benchmark::State& state, TensorType type, bool unpack) {
  TestMatrix matrix = RandomMatrix(type, GetTensorType(type).tile_rows, kColumns, 4);
  const PackUnit unit = GetPackUnit(matrix.layout, 0);
  for (auto _ : state) {
    if (unpack) {
      UnpackPages(matrix.layout, unit, matrix.pages, matrix.source);
    } else {
      PackPages(matrix.layout, unit, matrix.source, matrix.pages);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * unit.source_bytes));
}

void AttendToPositions(benchmark::State& state, KvType type, KernelIsa isa) {
  constexpr uint32_t kLength = 64;
  constexpr uint32_t kHeads = 8;
  constexpr uint32_t kTokens = 8;
  const auto positions = static_cast<uint32_t>(state.range(0));
  const size_t row_bytes = KvRowBytes(type, kLength);
  std::vector<std::byte> rows(positions * row_bytes);
  const auto values = RandomActivations(positions, kLength, 5);
  for (uint32_t at = 0; at < positions; ++at) {
    StoreKvRow(isa, type, values.data() + size_t{at} * kLength, kLength,
               rows.data() + at * row_bytes);
  }
  const auto queries = RandomActivations(kTokens, kHeads * kLength, 6);
  std::vector<float> attended(queries.size());
  std::vector<float> scratch(AttendScratchFloats(kLength, kLength));
  const AttendTask task = {.queries = queries.data(),
                           .query_stride = kHeads * kLength,
                           .attended = attended.data(),
                           .attended_stride = kHeads * kLength,
                           .token_count = kTokens,
                           .head_count = kHeads,
                           .first_position = positions - kTokens,
                           .scale = 0.125f,
                           .keys = rows.data(),
                           .values = rows.data(),
                           .key_row_bytes = row_bytes,
                           .value_row_bytes = row_bytes,
                           .key_length = kLength,
                           .value_length = kLength,
                           .scratch = scratch.data()};
  for (auto _ : state) {
    Attend(isa, type, task);
    benchmark::ClobberMemory();
  }
  const double products = 2.0 * kTokens * kHeads * kLength * positions;
  state.counters["GMAC"] = benchmark::Counter(
      products / 1e9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void RegisterAll() {
  for (const KernelIsa isa : {KernelIsa::kAmx, KernelIsa::kAvx512Vnni, KernelIsa::kAvxVnni,
                              KernelIsa::kAvx2, KernelIsa::kNeon, KernelIsa::kPortable}) {
    if (!KernelIsaIsSupported(isa)) continue;
    for (const TensorType type : kMatMulTypes) {
      const std::string suffix =
          std::string(TensorTypeName(type)) + "/" + std::string(KernelIsaName(isa));
      benchmark::RegisterBenchmark(("dram/" + suffix).c_str(), MatVecFromDram, type, isa)
          ->UseManualTime();
      benchmark::RegisterBenchmark(("cached/" + suffix).c_str(), MatVecFromCache, type, isa);
      benchmark::RegisterBenchmark(("prompt/" + suffix).c_str(), Prompt, type, isa)
          ->Arg(1)
          ->Arg(8)
          ->Arg(16)
          ->Arg(128)
          ->Arg(512);
    }
  }
  benchmark::RegisterBenchmark("quantize_activations", QuantizeActivations);
  benchmark::RegisterBenchmark("tags/dram", TagsFromDram)->UseManualTime();
  benchmark::RegisterBenchmark("tags/cached", TagsFromCache);
  for (const TensorType type : kMatMulTypes) {
    const std::string name(TensorTypeName(type));
    benchmark::RegisterBenchmark(("pack/" + name).c_str(), Pack, type, false);
    benchmark::RegisterBenchmark(("unpack/" + name).c_str(), Pack, type, true);
  }
  for (const KernelIsa isa :
       {KernelIsa::kAvx512Vnni, KernelIsa::kAvx2, KernelIsa::kNeon, KernelIsa::kPortable}) {
    if (!KernelIsaIsSupported(isa)) continue;
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      const std::string name =
          "attend/" + std::string(KvTypeName(type)) + "/" + std::string(KernelIsaName(isa));
      benchmark::RegisterBenchmark(name.c_str(), AttendToPositions, type, isa)->Arg(512)->Arg(8192);
    }
  }
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  gguf_shard::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
