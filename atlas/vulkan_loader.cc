#include "atlas/vulkan_loader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "core/bytes.h"
#include "core/check.h"
#include "core/clock.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMostChunkBytes = uint64_t{1} << 30;

}  // namespace

// One load. Pages are counted from the job's first.
struct VulkanLoader::Task {
  const LoadJob& job;
  uint32_t lane;
  DeviceLoadOutcome& outcome;
  std::vector<Spot> spots;            // by run
  std::vector<uint32_t> run_of_page;  // index into the job's runs
  std::vector<uint32_t> first_of_run;
  std::vector<bool> read_again;  // pages that had their second chance
  std::vector<VulkanSlots::Piece> pieces;
};

std::string_view TransferMethodName(TransferMethod method) {
  switch (method) {
    case TransferMethod::kAuto:
      return "auto";
    case TransferMethod::kDirect:
      return "direct";
    case TransferMethod::kImported:
      return "imported";
    case TransferMethod::kUpload:
      return "upload";
  }
  return "unknown";
}

uint64_t VulkanLoader::BytesFor(TransferMethod transfer, uint32_t lane_count, uint32_t lane_pages) {
  const uint64_t pages = uint64_t{lane_count} * lane_pages;
  const uint64_t results = AlignUp(pages * sizeof(TagResult), kPageBytes);
  const uint64_t check = AlignUp(VulkanTagCheck::kTableBytes, kPageBytes) * 2;
  return results + check + (transfer == TransferMethod::kUpload ? pages * kPageBytes : 0);
}

uint64_t VulkanLoader::counted_bytes() const {
  uint64_t bytes = check_.counted_bytes() + results_.counted_bytes();
  for (const gpu::Buffer& buffer : staging_) bytes += buffer.counted_bytes();
  return bytes;
}

Result<VulkanLoader> VulkanLoader::Create(const Parts& parts, TransferMethod transfer,
                                          uint32_t lane_count, uint32_t lane_pages) {
  GS_ASSIGN(auto check, VulkanTagCheck::Create(*parts.device, parts.map->core.id));
  // A direct load reads a page that failed once more through it.
  const uint64_t staging_pages =
      transfer == TransferMethod::kDirect ? 0 : uint64_t{lane_count} * lane_pages;
  GS_ASSIGN(auto memory, PagePool::Allocate(staging_pages));
  VulkanLoader loader(parts, transfer, lane_pages, std::move(check), std::move(memory));
  const uint64_t results_bytes = uint64_t{lane_count} * lane_pages * sizeof(TagResult);
  GS_ASSIGN(loader.results_,
            gpu::Buffer::Allocate(*parts.device, gpu::MemoryKind::kReadback, results_bytes));
  if (transfer != TransferMethod::kDirect) GS_TRY(loader.MakeStaging(lane_count));
  if (transfer == TransferMethod::kImported) GS_TRY(loader.ImportHostTier());
  return loader;
}

Result<void> VulkanLoader::MakeStaging(uint32_t lane_count) {
  GS_TRY(staging_memory_.Touch(0, staging_memory_.page_count()));
  const uint64_t lane_bytes = uint64_t{lane_pages_} * kPageBytes;
  for (uint32_t lane = 0; lane < lane_count; ++lane) {
    std::byte* const memory = staging_memory_.slot(uint64_t{lane} * lane_pages_);
    if (transfer_ == TransferMethod::kImported) {
      GS_ASSIGN(auto buffer, gpu::Buffer::ImportHostMemory(*parts_.device, {memory, lane_bytes}));
      staging_.push_back(std::move(buffer));
    } else {
      GS_ASSIGN(auto buffer,
                gpu::Buffer::Allocate(*parts_.device, gpu::MemoryKind::kUpload, lane_bytes));
      staging_.push_back(std::move(buffer));
    }
  }
  return {};
}

// So that hits are copied by the device straight out of the tier.
Result<void> VulkanLoader::ImportHostTier() {
  const gpu::DeviceInfo& info = parts_.device->info();
  host_chunk_pages_ =
      std::min({info.max_allocation_bytes, info.max_buffer_bytes, kMostChunkBytes}) / kPageBytes;
  const PagePool& pool = parts_.host_tier->pool();
  for (uint64_t slot = 0; slot < pool.page_count(); slot += host_chunk_pages_) {
    const uint64_t pages = std::min(host_chunk_pages_, pool.page_count() - slot);
    GS_TRY(pool.Touch(slot, pages));
    GS_ASSIGN(auto buffer,
              gpu::Buffer::ImportHostMemory(*parts_.device, {pool.slot(slot), pages * kPageBytes}));
    host_tier_.push_back(std::move(buffer));
  }
  return {};
}

void VulkanLoader::Load(const LoadJob& job, uint32_t lane, DeviceLoadOutcome& outcome) const {
  GS_CHECK(job.page_count <= lane_pages_);
  outcome = DeviceLoadOutcome();
  outcome.host.errors.assign(job.runs.size(), std::nullopt);
  Task task{job,
            lane,
            outcome,
            {},
            {},
            {},
            std::vector<bool>(job.page_count, false),
            parts_.slots->Pieces(job.first_slot, job.page_count)};
  FindSpots(task);
  ReadSpots(task);
  const auto checked = CopyAndCheck(task, 0, job.page_count);
  for (size_t i = 0; i < job.runs.size(); ++i) {
    auto judged = checked ? JudgeRun(task, i) : checked;
    if (!judged) outcome.host.errors[i] = std::move(judged.error());
    if (task.spots[i].in_host_tier) {
      parts_.host_tier->Release(job.runs[i], !outcome.host.errors[i].has_value());
    }
  }
}

// Reading ---------------------------------------------------------------------------------------

void VulkanLoader::FindSpots(Task& task) const {
  uint32_t page = 0;
  for (const uint32_t run_index : task.job.runs) {
    const uint32_t page_count = parts_.runs->run(run_index).page_count;
    Spot spot;
    if (transfer_ != TransferMethod::kDirect) {
      spot.memory = staging_memory_.slot(uint64_t{task.lane} * lane_pages_ + page);
      if (const auto place = parts_.host_tier->Acquire(run_index)) {
        spot.memory = parts_.host_tier->pool().slot(place->slot);
        spot.in_host_tier = true;
        spot.host_slot = place->slot;
        spot.needs_read = !place->holds_run;
      }
    }
    (spot.needs_read ? task.outcome.disk_pages : task.outcome.host_hit_pages) += page_count;
    task.run_of_page.insert(task.run_of_page.end(), page_count,
                            static_cast<uint32_t>(task.spots.size()));
    task.first_of_run.push_back(page);
    task.spots.push_back(spot);
    page += page_count;
  }
}

// Where the host sees a page's slot; null when it does not.
std::byte* VulkanLoader::SlotOf(const Task& task, uint32_t page) const {
  const uint32_t slot = task.job.first_slot + page;
  const auto piece = std::find_if(task.pieces.begin(), task.pieces.end(),
                                  [&](const VulkanSlots::Piece& candidate) {
                                    return slot - candidate.first_slot < candidate.slot_count;
                                  });
  GS_CHECK(piece != task.pieces.end());
  if (piece->mapped == nullptr) return nullptr;
  return piece->mapped + uint64_t{slot - piece->first_slot} * kPageBytes;
}

// Where a page is read to.
std::byte* VulkanLoader::PlaceOf(const Task& task, uint32_t page) const {
  if (transfer_ == TransferMethod::kDirect) return SlotOf(task, page);
  const uint32_t run = task.run_of_page[page];
  return task.spots[run].memory + uint64_t{page - task.first_of_run[run]} * kPageBytes;
}

void VulkanLoader::ReadSpots(Task& task) const {
  for (uint32_t page = 0; page < task.job.page_count;) {
    if (!task.spots[task.run_of_page[page]].needs_read) {
      ++page;
      continue;
    }
    const uint32_t end = ReadableFrom(task, page);
    ReadSpan(task, page, end);
    page = end;
  }
}

// The end of the pages that one read brings: they lie together where they are read to.
uint32_t VulkanLoader::ReadableFrom(const Task& task, uint32_t first) const {
  uint32_t end = first + 1;
  while (end < task.job.page_count && task.spots[task.run_of_page[end]].needs_read &&
         PlaceOf(task, end) == PlaceOf(task, end - 1) + kPageBytes) {
    ++end;
  }
  return end;
}

// A read that fails as a whole is made again page by page; a run with a page that fails then too
// has its error.
void VulkanLoader::ReadSpan(Task& task, uint32_t first, uint32_t end) const {
  const uint64_t bytes = uint64_t{end - first} * kPageBytes;
  if (Read(task, task.job.first_page + first, {PlaceOf(task, first), bytes})) return;
  for (uint32_t page = first; page < end; ++page) {
    auto& error = task.outcome.host.errors[task.run_of_page[page]];
    if (error) continue;
    const uint64_t page_index = task.job.first_page + page;
    task.read_again[page] = true;
    auto read = Read(task, page_index, {PlaceOf(task, page), kPageBytes});
    if (read) continue;
    error = Describe(std::move(read.error()), task.job.runs[task.run_of_page[page]], page_index);
  }
}

Result<void> VulkanLoader::Read(Task& task, uint64_t first_page,
                                std::span<std::byte> target) const {
  const auto start = std::chrono::steady_clock::now();
  auto read = parts_.source->Read(first_page, target);
  LoadOutcome& outcome = task.outcome.host;
  ++outcome.reads;
  outcome.read_seconds += SecondsSince(start);
  if (read) outcome.bytes_read += target.size();
  return read;
}

// Copies and checks -----------------------------------------------------------------------------

void VulkanLoader::RecordCopies(Task& task, gpu::Commands& commands, uint32_t first,
                                uint32_t count) const {
  // Pages that follow each other on both sides are one copy.
  struct {
    const gpu::Buffer* from = nullptr;
    const gpu::Buffer* to = nullptr;
    uint64_t from_offset = 0;
    uint64_t to_offset = 0;
    uint64_t bytes = 0;
  } copy;
  const auto flush = [&] {
    if (copy.bytes > 0) {
      commands.Copy(*copy.from, copy.from_offset, *copy.to, copy.to_offset, copy.bytes);
    }
    copy.bytes = 0;
  };
  size_t piece = 0;
  for (uint32_t page = first; page < first + count; ++page) {
    const uint32_t slot = task.job.first_slot + page;
    while (slot >= task.pieces[piece].first_slot + task.pieces[piece].slot_count) ++piece;
    const gpu::Buffer* to = task.pieces[piece].buffer;
    const uint64_t to_offset =
        task.pieces[piece].offset + uint64_t{slot - task.pieces[piece].first_slot} * kPageBytes;
    const gpu::Buffer* from = &staging_[task.lane];
    uint64_t from_offset = uint64_t{page} * kPageBytes;
    const Spot& spot = task.spots[task.run_of_page[page]];
    if (transfer_ == TransferMethod::kUpload) {
      std::memcpy(from->mapped() + from_offset, PlaceOf(task, page), kPageBytes);
    } else if (spot.in_host_tier) {
      const uint64_t host_slot = spot.host_slot + page - task.first_of_run[task.run_of_page[page]];
      from = &host_tier_[host_slot / host_chunk_pages_];
      from_offset = host_slot % host_chunk_pages_ * kPageBytes;
    }
    if (copy.from != from || copy.to != to || copy.from_offset + copy.bytes != from_offset ||
        copy.to_offset + copy.bytes != to_offset) {
      flush();
      copy = {from, to, from_offset, to_offset, 0};
    }
    copy.bytes += kPageBytes;
  }
  flush();
  task.outcome.bytes_to_device += uint64_t{count} * kPageBytes;
}

// The copies on the transfer queue, then the check on one that computes: in one submission where
// they are the same queue.
Result<gpu::TimelinePoint> VulkanLoader::Submit(Task& task, uint32_t first, uint32_t count) const {
  gpu::Queue& transfer = parts_.device->transfer_queue();
  gpu::Queue& compute = parts_.device->side_queue();
  const bool copies = transfer_ != TransferMethod::kDirect;
  const bool together = &transfer == &compute && parts_.slot_hook == nullptr;
  std::vector<gpu::TimelinePoint> wait_for;
  if (copies && !together) {
    GS_ASSIGN(auto commands, transfer.Begin());
    RecordCopies(task, commands, first, count);
    GS_ASSIGN(const auto copied, transfer.Submit(std::move(commands)));
    wait_for.push_back(copied);
  }
  GS_TRY(CallHook(task, first, count, wait_for));
  GS_ASSIGN(auto commands, compute.Begin());
  if (copies && together) {
    RecordCopies(task, commands, first, count);
    commands.Barrier();
  }
  const uint64_t lane_results = uint64_t{task.lane} * lane_pages_;
  for (const VulkanSlots::Piece& piece : task.pieces) {
    const uint32_t piece_first = piece.first_slot - task.job.first_slot;
    const uint32_t begin = std::max(first, piece_first);
    const uint32_t end = std::min(first + count, piece_first + piece.slot_count);
    if (begin >= end) continue;
    check_.Record(commands, piece.address + uint64_t{begin - piece_first} * kPageBytes,
                  task.job.first_page + begin, end - begin,
                  results_.address() + (lane_results + begin) * sizeof(TagResult));
  }
  return compute.Submit(std::move(commands), wait_for);
}

// Shows the pages in their slots to the tests' hook, when there is one.
Result<void> VulkanLoader::CallHook(Task& task, uint32_t first, uint32_t count,
                                    std::span<const gpu::TimelinePoint> copied) const {
  if (parts_.slot_hook == nullptr) return {};
  for (const gpu::TimelinePoint& point : copied) GS_TRY(point.queue->Wait(point.value));
  for (uint32_t page = first; page < first + count; ++page) {
    std::byte* const slot = SlotOf(task, page);
    if (slot == nullptr) continue;
    parts_.slot_hook->BeforeCheck(task.job.first_page + page, {slot, kPageBytes});
  }
  return {};
}

Result<void> VulkanLoader::CopyAndCheck(Task& task, uint32_t first, uint32_t count) const {
  const auto start = std::chrono::steady_clock::now();
  GS_ASSIGN(task.outcome.point, Submit(task, first, count));
  GS_TRY(task.outcome.point.queue->Wait(task.outcome.point.value));
  task.outcome.checked_pages += count;
  task.outcome.check_seconds += SecondsSince(start);
  return {};
}

TagResult VulkanLoader::ResultOf(const Task& task, uint32_t page) const {
  TagResult result;
  const uint64_t index = uint64_t{task.lane} * lane_pages_ + page;
  std::memcpy(&result, results_.mapped() + index * sizeof result, sizeof result);
  return result;
}

Result<void> VulkanLoader::JudgeRun(Task& task, size_t index) const {
  if (task.outcome.host.errors[index]) return Fail(*task.outcome.host.errors[index]);
  const uint32_t run_index = task.job.runs[index];
  const uint32_t first = task.first_of_run[index];
  for (uint32_t page = first; page < first + parts_.runs->run(run_index).page_count; ++page) {
    const uint64_t page_index = task.job.first_page + page;
    const std::optional<uint32_t> listed = parts_.source->ListedCrc(page_index);
    const TagResult first_result = ResultOf(task, page);
    if (first_result.is_good() &&
        listed.value_or(first_result.stored_crc) == first_result.stored_crc) {
      continue;
    }
    if (!task.read_again[page]) {
      if (auto again = LoadPageAgain(task, page); !again) {
        return Fail(Describe(std::move(again.error()), run_index, page_index));
      }
    }
    const TagResult result = ResultOf(task, page);
    auto judged = CheckPageTag(page_index, result.computed_crc, result.stored_crc, result.magic);
    if (judged && listed) judged = CheckListedCrc(page_index, *listed, result.stored_crc);
    if (!judged) return Fail(Describe(std::move(judged.error()), run_index, page_index));
    ++task.outcome.host.retried_pages;
  }
  return {};
}

Result<void> VulkanLoader::LoadPageAgain(Task& task, uint32_t page) const {
  task.read_again[page] = true;
  GS_TRY(Read(task, task.job.first_page + page, {PlaceOf(task, page), kPageBytes}));
  return CopyAndCheck(task, page, 1);
}

Error VulkanLoader::Describe(Error error, uint32_t run_index, uint64_t page_index) const {
  const Run& run = parts_.runs->run(run_index);
  error.SetFileIfEmpty(parts_.map->core.file);
  return std::move(error).Tensor(parts_.map->tensors[run.tensor_index].name).Page(page_index);
}

}  // namespace gguf_shard
