// Matrix kernels on one thread, every type and instruction set:
//
//   dram/TYPE/ISA        matrix-vector product over 1 GiB of weights, in runs of 128 KiB as the
//                        runtime makes them; bytes_per_second counts whole pages. of_plain_read:
//                        its rate over the rate of a plain read of the same memory, taken in turns
//                        with it, piece by piece, so that noise hits both
//   cached/TYPE/ISA      the same over 512 KiB
//   prompt/TYPE/ISA/N    N tokens against 64 MiB of weights; GMAC counts multiply-adds of 16-bit
//                        activations
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
    madvise(memory, LargeBytes(), MADV_HUGEPAGE);
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

uint64_t PlainRead(const std::byte* bytes, uint64_t size) {
  uint64_t sums[8] = {};
  for (uint64_t i = 0; i < size; i += 64) {
    uint64_t words[8];
    std::memcpy(words, bytes + i, sizeof words);
    for (int k = 0; k < 8; ++k) sums[k] += words[k];
  }
  return std::accumulate(sums, sums + 8, uint64_t{0});
}

// Of this thread: other programs' turns on the processor do not count.
double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void MatVecFromDram(benchmark::State& state, TensorType type, KernelIsa isa) {
  const Weights weights(type, LargeBytes());
  const Batch batch(1);
  std::vector<float> y(weights.run_rows());
  const uint64_t runs = std::max<uint64_t>(1, kPieceBytes / weights.run_bytes());
  uint64_t next = 0;
  double multiply_seconds = 0;
  double read_seconds = 0;
  for (auto _ : state) {
    const double start = ThreadSeconds();
    for (uint64_t i = 0; i < runs; ++i) {
      weights.Multiply(isa, (next + i) % weights.run_count(), batch.x, batch.tokens, y);
    }
    const double seconds = ThreadSeconds() - start;
    next = (next + runs) % weights.run_count();
    const double read_start = ThreadSeconds();
    for (uint64_t i = 0; i < runs; ++i) {
      const uint64_t run = (next + i) % weights.run_count();
      benchmark::DoNotOptimize(
          PlainRead(Region() + run * weights.run_bytes(), weights.run_bytes()));
    }
    read_seconds += ThreadSeconds() - read_start;
    next = (next + runs) % weights.run_count();
    multiply_seconds += seconds;
    state.SetIterationTime(seconds);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * runs * weights.run_bytes()));
  state.counters["of_plain_read"] = read_seconds / multiply_seconds;
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

void RegisterAll() {
  for (const KernelIsa isa :
       {KernelIsa::kAmx, KernelIsa::kAvx512Vnni, KernelIsa::kAvx2, KernelIsa::kPortable}) {
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
