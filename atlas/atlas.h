// The atlas: the weights of a model inside a fixed pool of memory, paged in from a PageSource.
//
// A pool of page slots, allocated once, is all the memory that holds weights. Three classes of
// runs:
//
//   pinned    the high zone and an evenly spread part of the normal runs: loaded once, never
//   evicted streamed  the rest of the cyclic schedule: read ahead through a ring, freed after use
//   cached    runs used on demand (experts, gathered embedding rows): the slots left to them, by a
//             cache policy (LRU unless options say otherwise)
//
// A dense model is read in a cycle, and plain LRU over a cycle larger than the cache never hits; a
// fixed resident part plus a stream is the optimum. Streamed runs are spread evenly over the cycle
// so that disk and compute overlap all the time.
//
// Every page's tag is checked when it arrives, before it can be pinned; a bad page is read once
// more, then Pin fails with an error naming file, tensor, page and both CRCs.
//
// A scheduled run may also be pinned at any other time (a tied embedding is gathered at the start
// of a pass and multiplied at its end): it is then served like an on-demand run. Callers may leave
// out parts of a pass, or break one off and begin again: that costs reads, nothing else.
//
// Liveness: at most `concurrent_pins` runs may be pinned or waited for at once. Then every Pin
// returns, in any order of pins and with the smallest pool; atlas/residency.h has the argument.
//
// Thread-safety: Pin, Prefetch, Stats and the handles from many threads. Open and the destructor
// from one thread, with no run pinned; `Pin` and `Prefetch` take run indices of run_table().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "atlas/cache_policy.h"
#include "atlas/page_source.h"
#include "atlas/run_table.h"
#include "core/error.h"
#include "core/map.h"

namespace gguf_shard {

// How pages are read: kAuto takes io_uring where the kernel, the source and its file allow it.
enum class IoMethod : uint8_t { kAuto, kUring, kThreads };
std::string_view IoMethodName(IoMethod method);  // "auto", "uring", "threads"

struct AtlasOptions {
  uint64_t pool_bytes = 0;  // memory for page slots; rounded down to whole pages
  uint32_t prefetch_distance =
      8;                    // shards read ahead at most (ring space permitting); 0: no prefetch
  uint32_t io_threads = 4;  // reads in flight
  // Of the pool, for streamed runs. What the ring has, the resident share lacks, and a ring that
  // the processor's cache holds is filled faster.
  uint64_t max_ring_bytes = uint64_t{12} << 20;
  IoMethod io_method = IoMethod::kAuto;
  CachePolicy cache_policy = CachePolicy::kLru;  // of runs used on demand
  uint32_t concurrent_pins = 4;                  // runs pinned at once, at most (number of workers)
};

struct AtlasStats {
  uint64_t pool_bytes = 0;
  uint64_t peak_pool_bytes = 0;  // slots ever in use at once
  uint64_t pinned_bytes = 0;     // share of the pool given to each class
  uint64_t ring_bytes = 0;
  uint64_t cache_bytes = 0;
  uint64_t page_hits = 0;  // pages of Pin calls that found the run resident, not by prefetch
  uint64_t prefetch_covered_pages = 0;  // resident because a prefetch had loaded them, first use
  uint64_t stalled_pages = 0;           // pages a Pin had to wait for
  uint64_t stalls = 0;                  // Pin calls that waited
  double stall_seconds = 0;             // sum of their waits
  uint64_t bytes_read = 0;
  uint64_t reads = 0;
  double read_seconds = 0;     // sum over reads; bytes_read / read_seconds is one thread's rate
  uint64_t evictions = 0;      // runs evicted or retired from ring and cache
  uint64_t retried_pages = 0;  // pages that failed their tag once and passed the second time
  IoMethod io_method = IoMethod::kThreads;  // the one in use
};

class Atlas;

// A pinned run: its pages are contiguous at pages() and stay until the handle dies.
class PinnedRun {
 public:
  PinnedRun() = default;
  PinnedRun(PinnedRun&& other) noexcept;
  PinnedRun& operator=(PinnedRun&& other) noexcept;
  PinnedRun(const PinnedRun&) = delete;
  PinnedRun& operator=(const PinnedRun&) = delete;
  ~PinnedRun();

  const std::byte* pages() const { return pages_; }

 private:
  friend class Atlas;
  PinnedRun(Atlas* atlas, uint32_t run_index, const std::byte* pages)
      : atlas_(atlas), run_index_(run_index), pages_(pages) {}

  Atlas* atlas_ = nullptr;
  uint32_t run_index_ = 0;
  const std::byte* pages_ = nullptr;
};

class Atlas {
 public:
  // The schedule: the slices that every pass uses, in order of use ({tensor, slice 0} for dense
  // tensors). Everything else is on demand. `map` and `source` must outlive the atlas.
  // kBudgetTooSmall names the smallest pool that would do; kUnsupported when options insist on
  // io_uring and it cannot be had.
  static Result<std::unique_ptr<Atlas>> Open(const CoreMap& map, PageSource& source,
                                             std::vector<uint32_t> scheduled_tensors,
                                             const AtlasOptions& options);
  // The smallest pool_bytes that Open accepts for these options.
  static uint64_t MinimumPoolBytes(const CoreMap& map, std::span<const uint32_t> scheduled_tensors,
                                   const AtlasOptions& options);
  virtual ~Atlas();

  virtual const RunTable& run_table() const = 0;

  // Waits until the run is resident and pins it. For a streamed run, the last handle to die after
  // its use in a pass retires it.
  virtual Result<PinnedRun> Pin(uint32_t run_index) = 0;

  // Where a run lies that was pinned before and never leaves, for those who want to fetch it into
  // the processor's cache before they pin it. nullptr for others, and for all where a pass streams
  // some. Takes no lock.
  virtual const std::byte* SettledPages(uint32_t run_index) const = 0;

  // Announces on-demand runs that will be pinned soon, in order of use (chosen experts, rows of a
  // prompt). Never blocks, never evicts a pinned run or one that is itself announced and unused;
  // what does not fit yet is loaded as room comes, and forgotten once it is pinned.
  virtual void Prefetch(std::span<const uint32_t> run_indices) = 0;

  virtual AtlasStats Stats() const = 0;

 protected:
  PinnedRun MakeHandle(uint32_t run_index, const std::byte* pages);

 private:
  friend class PinnedRun;
  virtual void Unpin(uint32_t run_index) = 0;
};

}  // namespace gguf_shard
