// The threads that read: what each of them does, and what they work for.
//
//   LoadQueue   hands out reads and takes them back checked; the atlas
//   PageReader  one thread's way of reading. Two of them: `pread` on the thread itself, and
//   io_uring
//               with several reads in flight (Linux 5.6 and newer, direct files only)
//
// Both check every tag by the same PageLoader, on the reader's thread, before a run is shown to
// anyone: computing threads never wait for a check. Thread-safety: a LoadQueue may be used from
// many threads; Run is called once, from the reader's own thread; Wake from any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "atlas/page_loader.h"
#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "atlas/residency.h"
#include "core/error.h"

namespace gguf_shard {

class PageReader;

class LoadQueue {
 public:
  enum class Taken : uint8_t { kJob, kNothing, kStopping };

  virtual ~LoadQueue() = default;
  // The next read. After kNothing the reader is idle, and is woken when there may be one again;
  // kStopping comes when no more will ever be handed out.
  virtual Taken Take(LoadJob& job, PageReader& reader) = 0;
  // The end of a read that was taken: every run's pages are checked, or it has an error.
  virtual void End(const LoadJob& job, LoadOutcome& outcome) = 0;
};

class PageReader {
 public:
  virtual ~PageReader() = default;
  // Takes reads from the queue until it stops, and ends all it took.
  virtual void Run(LoadQueue& queue) = 0;
  // Makes Run ask the queue again. Never blocks.
  virtual void Wake() = 0;
};

// One read at a time, by PageSource::Read. `loader` must outlive it.
std::unique_ptr<PageReader> MakeThreadReader(const PageLoader& loader);

// Up to `depth` reads at a time, of a direct file. `fixed` (empty: nothing) is memory of the pool
// that is read into again and again: it is registered with the kernel, so that it need not look it
// up for each read, where its limit on locked memory allows that. All arguments must outlive it.
// kUnsupported when the kernel has no io_uring or forbids it.
Result<std::unique_ptr<PageReader>> MakeUringReader(const PageLoader& loader, const PagePool& pool,
                                                    DirectFile file, std::span<std::byte> fixed,
                                                    uint32_t depth);

}  // namespace gguf_shard
