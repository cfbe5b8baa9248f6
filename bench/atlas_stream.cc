// How fast the atlas streams a core, against plain direct reads of the same pages in the same run.
//
//   atlas_stream CORE.sgmap [--passes N] [--workers N] [--io-threads N] [--io METHOD] [--budgets
//   0.1,0.25,...]
//
// The schedule is every matrix of the core, in order; the workers pin each run and read its bytes
// once, which is the least that a computation does. Printed per budget: bytes read per pass against
// what cannot be resident, the rate of the steady passes against the better of two plain reads (one
// before, one after), stalls.
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "core/clock.h"
#include "core/core_file.h"
#include "core/plain_read.h"

namespace gguf_shard {
namespace {

struct Request {
  std::string map_path;
  uint32_t passes = 3;
  uint32_t workers = 2;
  uint32_t io_threads = 4;
  IoMethod io_method = IoMethod::kAuto;
  std::vector<double> budgets = {0.1, 0.25, 0.5, 0.75, 1.0};
};

using Clock = std::chrono::steady_clock;

std::vector<uint32_t> Matrices(const CoreMap& map) {
  std::vector<uint32_t> tensors;
  for (uint32_t i = 0; i < map.tensors.size(); ++i) {
    const TensorLayout& layout = map.tensors[i].layout;
    if (layout.layout == MemoryLayout::kColumnMajor && layout.page_count > 0) tensors.push_back(i);
  }
  return tensors;
}

// Bytes per second of plain reads of 1 MiB, `io_threads` at a time, of the core's tensors in order.
Result<double> PlainReadRate(const CoreFile& core, PageSource& source, uint32_t io_threads) {
  constexpr uint64_t kReadPages = 256;
  const uint64_t first_page = core.map().tensors.front().first_page;
  const uint64_t end_page = core.map().core.index.first_page;
  GS_ASSIGN(const PagePool buffers, PagePool::Allocate(io_threads * kReadPages));
  GS_TRY(buffers.Touch(0, buffers.page_count()));
  std::atomic<uint64_t> next_page{first_page};
  std::atomic<bool> failed{false};
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < io_threads; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t page = next_page += kReadPages; page <= end_page;
           page = next_page += kReadPages) {
        const std::span<std::byte> target(buffers.slot(i * kReadPages), kReadPages * kPageBytes);
        if (!source.Read(page - kReadPages, target)) failed = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (failed) return Fail(ErrorCode::kIo, "a plain read failed");
  return static_cast<double>((end_page - first_page) * kPageBytes) / SecondsSince(start);
}

// Workers take the runs of a matrix by a counter and wait for each other before the next one.
class Passes {
 public:
  Passes(Atlas& atlas, const std::vector<uint32_t>& tensors, uint32_t workers)
      : atlas_(atlas), tensors_(tensors), workers_(workers) {}

  Result<void> Run(uint32_t passes) {
    std::vector<std::atomic<uint32_t>> next(passes * tensors_.size());
    std::barrier all_done(workers_);
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < workers_; ++i) {
      threads.emplace_back([&] {
        for (size_t step = 0; step < next.size(); ++step) {
          Share(tensors_[step % tensors_.size()], next[step]);
          all_done.arrive_and_wait();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (failed_) return Fail(ErrorCode::kIo, "a pin failed");
    return {};
  }

 private:
  void Share(uint32_t tensor, std::atomic<uint32_t>& next) {
    const RunSpan span = atlas_.run_table().RunsOfTensor(tensor);
    for (uint32_t i = next++; i < span.run_count; i = next++) {
      const auto pinned = atlas_.Pin(span.first_run + i);
      if (!pinned) {
        failed_ = true;
        continue;
      }
      sum_ += PlainRead(pinned->pages(),
                        atlas_.run_table().run(span.first_run + i).page_count * kPageBytes);
    }
  }

  Atlas& atlas_;
  const std::vector<uint32_t>& tensors_;
  uint32_t workers_;
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> sum_{0};
};

uint64_t MatrixBytes(const CoreMap& map) {
  uint64_t bytes = 0;
  for (const uint32_t tensor : Matrices(map)) {
    bytes += map.tensors[tensor].layout.page_count * kPageBytes;
  }
  return bytes;
}

struct Measured {
  double first_seconds = 0;  // opening included
  std::vector<double> pass_seconds;
  AtlasStats before;  // of the steady passes
  AtlasStats after;
};

Result<Measured> MeasureBudget(const CoreFile& core, PageSource& source, const Request& request,
                               uint64_t pool_bytes) {
  const std::vector<uint32_t> tensors = Matrices(core.map());
  AtlasOptions options;
  options.pool_bytes = pool_bytes;
  options.io_threads = request.io_threads;
  options.concurrent_pins = request.workers;
  options.io_method = request.io_method;
  const auto opened = Clock::now();
  GS_ASSIGN(const auto atlas, Atlas::Open(core.map(), source, tensors, options));
  Passes passes(*atlas, tensors, request.workers);
  GS_TRY(passes.Run(1));
  Measured measured;
  measured.first_seconds = SecondsSince(opened);
  measured.before = atlas->Stats();
  for (uint32_t i = 0; i < request.passes; ++i) {
    const auto start = Clock::now();
    GS_TRY(passes.Run(1));
    measured.pass_seconds.push_back(SecondsSince(start));
  }
  measured.after = atlas->Stats();
  return measured;
}

void Print(const Measured& measured, uint64_t model_bytes, uint64_t pool_bytes, double plain_rate) {
  std::vector<double> seconds = measured.pass_seconds;
  std::sort(seconds.begin(), seconds.end());
  const double median_seconds = seconds[seconds.size() / 2];
  const double best_seconds = seconds.front();
  const auto passes = static_cast<double>(seconds.size());
  const auto per_pass = [&](auto member) {
    return static_cast<double>(measured.after.*member - measured.before.*member) / passes;
  };
  const double bytes_read = per_pass(&AtlasStats::bytes_read);
  const double missing_bytes =
      static_cast<double>(model_bytes) - static_cast<double>(std::min(pool_bytes, model_bytes));
  const double read_kib = bytes_read / std::max(1.0, per_pass(&AtlasStats::reads)) / 1024;
  fmt::print("  first pass {:.2f} s, {:.2f} of plain\n", measured.first_seconds,
             static_cast<double>(model_bytes) / measured.first_seconds / plain_rate);
  fmt::print("  then {:.1f} MB a pass ({:.3f} of model - pool) in reads of {:.0f} KiB\n",
             bytes_read / 1e6, missing_bytes > 0 ? bytes_read / missing_bytes : 1.0, read_kib);
  fmt::print("  median {:.3f} s, {:.2f} GB/s, {:.2f} of plain; best {:.3f} s, {:.2f} of plain\n",
             median_seconds, bytes_read / median_seconds / 1e9,
             bytes_read / median_seconds / plain_rate, best_seconds,
             bytes_read / best_seconds / plain_rate);
  double all_seconds = 0;
  for (const double pass_seconds : seconds) all_seconds += pass_seconds;
  fmt::print("  {:.1f} reads in flight on average, by {}\n",
             per_pass(&AtlasStats::read_seconds) * passes / all_seconds,
             IoMethodName(measured.after.io_method));
  fmt::print("  stalls {:.0f} a pass, {:.3f} s; ring {:.1f} MB, pinned {:.1f} MB\n",
             per_pass(&AtlasStats::stalls), per_pass(&AtlasStats::stall_seconds),
             static_cast<double>(measured.after.ring_bytes) / 1e6,
             static_cast<double>(measured.after.pinned_bytes) / 1e6);
}

Result<void> Measure(const Request& request) {
  GS_ASSIGN(const CoreFile core, CoreFile::Open(request.map_path, Caching::kDirect));
  const auto source = MakeCorePageSource(core);
  fmt::print("{}: {} reads at once, {} workers\n", source->Describe(), request.io_threads,
             request.workers);
  const uint64_t model_bytes = MatrixBytes(core.map());
  for (const double budget : request.budgets) {
    const auto pool_bytes = static_cast<uint64_t>(budget * static_cast<double>(model_bytes));
    GS_ASSIGN(const double rate_before, PlainReadRate(core, *source, request.io_threads));
    GS_ASSIGN(const Measured measured, MeasureBudget(core, *source, request, pool_bytes));
    GS_ASSIGN(const double rate_after, PlainReadRate(core, *source, request.io_threads));
    fmt::print("pool of {:.0f}% of {:.2f} GB; plain reads {:.2f} and {:.2f} GB/s\n", budget * 100,
               static_cast<double>(model_bytes) / 1e9, rate_before / 1e9, rate_after / 1e9);
    Print(measured, model_bytes, pool_bytes, std::max(rate_before, rate_after));
    std::fflush(stdout);
  }
  return {};
}

int Main(int argc, char** argv) {
  Request request;
  CLI::App app("Streaming rate of the atlas against plain direct reads");
  app.add_option("core", request.map_path, "core.sgmap, or its directory")->required();
  app.add_option("--passes", request.passes, "steady passes to measure")
      ->check(CLI::Range(1, 1000));
  app.add_option("--workers", request.workers)->check(CLI::Range(1, 256));
  app.add_option("--io-threads", request.io_threads)->check(CLI::Range(1, 64));
  const std::map<std::string, IoMethod> methods = {
      {"auto", IoMethod::kAuto}, {"uring", IoMethod::kUring}, {"threads", IoMethod::kThreads}};
  app.add_option("--io", request.io_method, "auto, uring or threads")
      ->transform(CLI::CheckedTransformer(methods));
  app.add_option("--budgets", request.budgets, "shares of the model")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  const auto measured = Measure(request);
  if (measured) return 0;
  fmt::print(stderr, "{}\n", measured.error().ToString());
  return 1;
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) { return gguf_shard::Main(argc, argv); }
