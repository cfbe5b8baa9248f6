#include "atlas/page_loader.h"

#include <chrono>
#include <string>
#include <utility>

#include "core/clock.h"

namespace gguf_shard {

Result<void> PageLoader::Read(uint64_t first_page, std::span<std::byte> target,
                              LoadOutcome& outcome) const {
  const auto start = std::chrono::steady_clock::now();
  auto read = source_.Read(first_page, target);
  ++outcome.reads;
  outcome.read_seconds += SecondsSince(start);
  if (read) outcome.bytes_read += target.size();
  return read;
}

// `already_read`: the page's bytes are there, and only need the check.
Result<void> PageLoader::LoadPage(uint64_t page_index, std::span<std::byte, kPageBytes> page,
                                  bool already_read, LoadOutcome& outcome) const {
  const std::optional<uint32_t> listed = source_.ListedCrc(page_index);
  const auto is_current = [&] { return !listed || *listed == StoredPageCrc(page); };
  if (already_read && PageIsIntact(map_.core.id, page_index, page) && is_current()) return {};
  GS_TRY(Read(page_index, page, outcome));
  GS_TRY(CheckPage(map_.core.id, page_index, page));
  if (listed) GS_TRY(CheckListedCrc(page_index, *listed, StoredPageCrc(page)));
  if (already_read) ++outcome.retried_pages;
  return {};
}

Error PageLoader::Describe(Error error, uint32_t run_index, uint64_t page_index) const {
  const Run& run = runs_.run(run_index);
  error.SetFileIfEmpty(map_.core.file);
  return std::move(error).Tensor(map_.tensors[run.tensor_index].name).Page(page_index);
}

void PageLoader::Load(const LoadJob& job, LoadOutcome& outcome) const {
  Begin(job, outcome);
  std::byte* const pages = pool_.slot(job.first_slot);
  const bool read =
      Read(job.first_page, {pages, size_t{job.page_count} * kPageBytes}, outcome).has_value();
  Check(job, read, outcome);
}

void PageLoader::Begin(const LoadJob& job, LoadOutcome& outcome) const {
  outcome.errors.assign(job.runs.size(), std::nullopt);
  outcome.reads = outcome.bytes_read = outcome.retried_pages = 0;
  outcome.read_seconds = 0;
  outcome.begun_at = std::chrono::steady_clock::now();
}

void PageLoader::End(const LoadJob& job, LoadOutcome& outcome) const {
  outcome.reads = 1;
  outcome.read_seconds = SecondsSince(outcome.begun_at);
  outcome.bytes_read = uint64_t{job.page_count} * kPageBytes;
  Check(job, /*already_read=*/true, outcome);
}

void PageLoader::Check(const LoadJob& job, bool already_read, LoadOutcome& outcome) const {
  std::byte* const pages = pool_.slot(job.first_slot);
  for (size_t i = 0; i < job.runs.size(); ++i) {
    const Run& run = runs_.run(job.runs[i]);
    for (uint32_t page = 0; page < run.page_count; ++page) {
      const uint64_t page_index = run.first_page + page;
      const auto slot = PageAt(pages, page_index - job.first_page);
      auto loaded = LoadPage(page_index, slot, already_read, outcome);
      if (loaded) continue;
      outcome.errors[i] = Describe(std::move(loaded.error()), job.runs[i], page_index);
      break;
    }
  }
}

}  // namespace gguf_shard
