#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>
#include <vector>

#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/plain_read.h"
#include "kernels/activations.h"
#include "kernels/matmul.h"
#include "runtime/speed_estimate.h"
#include "runtime/worker_pool.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kReadThreads = 4;
constexpr uint64_t kReadPages = 128;
constexpr double kDiskSeconds = 0.5;
constexpr double kMemorySeconds = 0.15;
constexpr double kKernelSeconds = 0.6;  // for all types together
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint64_t kKernelPages = 2048;  // of each type

using Clock = std::chrono::steady_clock;

// Reads pieces far apart in turn, so that the whole file counts and not its beginning.
Result<double> DiskRate(const CoreFile& core) {
  const uint64_t page_count = core.map().core.page_count;
  const uint64_t read_pages = std::min(kReadPages, page_count);
  const uint64_t places = page_count / read_pages;
  const auto source = MakeCorePageSource(core);
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(kReadThreads * read_pages));
  GS_TRY(pool.Touch(0, pool.page_count()));
  GS_ASSIGN(const auto readers, WorkerPool::Create(kReadThreads));
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> read_bytes{0};
  const auto start = Clock::now();
  const auto read = readers->TryForEach(kReadThreads, [&](size_t reader, uint32_t) -> Result<void> {
    const std::span target(pool.slot(reader * read_pages), read_pages * kPageBytes);
    while (SecondsSince(start) < kDiskSeconds) {
      // A stride that is prime to most counts visits the places in a spread order.
      const uint64_t place = next.fetch_add(1) * 7919 % places;
      auto piece = source->Read(place * read_pages, target);
      if (!piece) return piece;
      read_bytes += target.size();
    }
    return {};
  });
  GS_TRY(read);
  return static_cast<double>(read_bytes.load()) / SecondsSince(start);
}

// Calls `pass` until the time is over; passes per second, of the faster quarter: what disturbs this
// machine now need not do so later.
template <typename Pass>
double PassRate(double seconds, Pass pass) {
  pass();
  std::vector<double> pass_seconds;
  const auto start = Clock::now();
  do {
    const auto pass_start = Clock::now();
    pass();
    pass_seconds.push_back(SecondsSince(pass_start));
  } while (SecondsSince(start) < seconds);
  const auto quarter = pass_seconds.begin() + static_cast<ptrdiff_t>(pass_seconds.size() / 4);
  std::nth_element(pass_seconds.begin(), quarter, pass_seconds.end());
  return 1 / *quarter;
}

// Over as much as the model has, for a small one stays in the cache between tokens and a large one
// does not.
Result<double> MemoryRate(uint64_t weight_bytes, uint64_t most_bytes, WorkerPool& workers) {
  const uint64_t pieces = DivCeil(std::min(weight_bytes, most_bytes), kPieceBytes);
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(pieces * kPieceBytes / kPageBytes));
  GS_TRY(pool.Touch(0, pool.page_count()));
  std::atomic<uint64_t> sum{0};  // nobody asks for it; the compiler must not know
  const double passes = PassRate(kMemorySeconds, [&] {
    workers.ForEach(pieces, [&](size_t piece, uint32_t) {
      sum += PlainRead(pool.slot(0) + piece * kPieceBytes, kPieceBytes);
    });
  });
  return passes * static_cast<double>(pieces * kPieceBytes);
}

// Products over some strips of a matrix, one strip at a time to each thread.
class KernelTrial {
 public:
  static Result<double> Rate(const CoreFile& core, const MapTensor& tensor, WorkerPool& workers,
                             double seconds) {
    const TensorLayout& layout = tensor.layout;
    const uint64_t strip_pages = layout.pages_per_strip();
    const uint64_t strips =
        std::clamp<uint64_t>(kKernelPages / strip_pages, 1, layout.pages_per_slice / strip_pages);
    GS_ASSIGN(const PagePool pool, PagePool::Allocate(strips * strip_pages));
    GS_TRY(core.ReadPages(tensor.first_page,
                          {pool.slot(0), size_t{strips * strip_pages} * kPageBytes}));
    ActivationBatch x;
    x.Reserve(1, static_cast<uint32_t>(layout.columns));
    x.Resize(1, static_cast<uint32_t>(layout.columns));
    std::vector<float> values(layout.columns, 0.5f);
    x.Quantize(0, values.data());
    std::vector<float> y(layout.rows);
    const uint32_t token = 0;
    const KernelIsa isa = DetectKernelIsa();
    const double passes = PassRate(seconds, [&] {
      workers.ForEach(strips, [&](size_t strip, uint32_t) {
        const StripRun run = {
            .type = layout.type,
            .geometry = layout.geometry(),
            .rows = layout.rows,
            .pages_per_strip = strip_pages,
            .first_strip = strip,
            .strip_count = 1,
            .pages = pool.slot(strip * strip_pages),
        };
        MatMul(isa, run, x, {&token, 1}, y.data(), layout.rows);
      });
    });
    return passes * static_cast<double>(strips * strip_pages * kPageBytes);
  }
};

// The largest multiplied matrix of each type.
std::map<TensorType, const MapTensor*> LargestMatrices(const CoreMap& map) {
  std::map<TensorType, const MapTensor*> largest;
  for (const MapTensor& tensor : map.tensors) {
    if (tensor.layout.layout != MemoryLayout::kColumnMajor || tensor.layout.page_count == 0)
      continue;
    const MapTensor*& best = largest[tensor.layout.type];
    if (best == nullptr || tensor.layout.page_count > best->layout.page_count) best = &tensor;
  }
  return largest;
}

}  // namespace

Result<MachineSpeed> MeasureMachine(const Model& model, uint32_t thread_count,
                                    uint64_t most_bytes) {
  EngineOptions options;
  options.thread_count = thread_count;
  GS_ASSIGN(const auto workers, WorkerPool::Create(WorkerCountOf(options)));
  MachineSpeed machine;
  GS_ASSIGN(machine.disk_bytes_per_second, DiskRate(model.core()));
  GS_ASSIGN(machine.memory_bytes_per_second,
            MemoryRate(model.weight_bytes(), most_bytes, *workers));
  const auto matrices = LargestMatrices(model.map());
  for (const auto& [type, tensor] : matrices) {
    GS_ASSIGN(machine.kernel_bytes_per_second[type],
              KernelTrial::Rate(model.core(), *tensor, *workers,
                                kKernelSeconds / static_cast<double>(matrices.size())));
  }
  return machine;
}

}  // namespace gguf_shard
