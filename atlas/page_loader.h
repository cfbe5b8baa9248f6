// Reads the pages of a job from their source straight into their slots and checks every tag, and
// that the page is the one which the index lists: the one way by which a page gets into a pool.
//
// A page that fails its tag, and every page of a read that fails as a whole, is read once more by
// itself; what fails then is an error of the run that it belongs to, and of no other. Thread-safe:
// Load may run on many threads over disjoint slots.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "atlas/residency.h"
#include "atlas/run_table.h"
#include "core/map.h"

namespace gguf_shard {

struct LoadOutcome {
  std::vector<std::optional<Error>> errors;  // one per run of the job; empty when it is good
  uint64_t reads = 0;                        // calls of the source
  uint64_t bytes_read = 0;                   // by those that succeeded
  uint64_t retried_pages = 0;  // pages that failed their tag once and passed the second time
  double read_seconds = 0;
  std::chrono::steady_clock::time_point begun_at;  // by Begin
};

class PageLoader {
 public:
  // All arguments must outlive it.
  PageLoader(const CoreMap& map, const RunTable& runs, PageSource& source, const PagePool& pool)
      : map_(map), runs_(runs), source_(source), pool_(pool) {}

  void Load(const LoadJob& job, LoadOutcome& outcome) const;

  // The two halves of Load around a read that somebody else does: Begin notes when, End checks what
  // was read into the job's slots.
  void Begin(const LoadJob& job, LoadOutcome& outcome) const;
  void End(const LoadJob& job, LoadOutcome& outcome) const;

 private:
  Result<void> Read(uint64_t first_page, std::span<std::byte> target, LoadOutcome& outcome) const;
  void Check(const LoadJob& job, bool already_read, LoadOutcome& outcome) const;
  Result<void> LoadPage(uint64_t page_index, std::span<std::byte, kPageBytes> page,
                        bool already_read, LoadOutcome& outcome) const;
  Error Describe(Error error, uint32_t run_index, uint64_t page_index) const;

  const CoreMap& map_;
  const RunTable& runs_;
  PageSource& source_;
  const PagePool& pool_;
};

}  // namespace gguf_shard
