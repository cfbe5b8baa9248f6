#include "atlas/page_loader.h"

#include <chrono>
#include <string>
#include <utility>

namespace gguf_shard {

Result<void> PageLoader::Read(uint64_t first_page, std::span<std::byte> target,
                              LoadOutcome& outcome) const {
  const auto start = std::chrono::steady_clock::now();
  auto read = source_.Read(first_page, target);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  ++outcome.reads;
  outcome.read_seconds += elapsed.count();
  if (read) outcome.bytes_read += target.size();
  return read;
}

// `already_read`: the page's bytes are there, and only need the check.
Result<void> PageLoader::LoadPage(uint64_t page_index, std::span<std::byte, kPageBytes> page,
                                  bool already_read, LoadOutcome& outcome) const {
  if (already_read && PageIsIntact(map_.core.id, page_index, page)) return {};
  GS_TRY(Read(page_index, page, outcome));
  GS_TRY(CheckPage(map_.core.id, page_index, page));
  if (already_read) ++outcome.retried_pages;
  return {};
}

Error PageLoader::Describe(Error error, uint32_t run_index, uint64_t page_index) const {
  const Run& run = runs_.run(run_index);
  error.SetFileIfEmpty(map_.core.file);
  return std::move(error).Tensor(map_.tensors[run.tensor_index].name).Page(page_index);
}

void PageLoader::Load(const LoadJob& job, LoadOutcome& outcome) const {
  outcome.errors.assign(job.runs.size(), std::nullopt);
  outcome.reads = outcome.bytes_read = outcome.retried_pages = 0;
  outcome.read_seconds = 0;
  std::byte* const pages = pool_.slot(job.first_slot);
  // The system gives memory faster when it is asked for it than when a direct read runs into its
  // absence (measured: twice the rate of the first pass), and here it overlaps with other reads. A
  // refusal shows as an error of the read.
  if (job.into_own_slots) static_cast<void>(pool_.Touch(job.first_slot, job.page_count));
  const bool read =
      Read(job.first_page, {pages, size_t{job.page_count} * kPageBytes}, outcome).has_value();
  for (size_t i = 0; i < job.runs.size(); ++i) {
    const Run& run = runs_.run(job.runs[i]);
    for (uint32_t page = 0; page < run.page_count; ++page) {
      const uint64_t page_index = run.first_page + page;
      const auto slot = PageAt(pages, page_index - job.first_page);
      auto loaded = LoadPage(page_index, slot, read, outcome);
      if (loaded) continue;
      outcome.errors[i] = Describe(std::move(loaded.error()), job.runs[i], page_index);
      break;
    }
  }
}

}  // namespace gguf_shard
