#include <algorithm>
#include <utility>

#include "atlas/page_reader.h"
#include "atlas/uring.h"
#include "core/file_operations.h"

namespace gguf_shard {
namespace {

class UringReader final : public PageReader {
 public:
  UringReader(const PageLoader& loader, const PagePool& pool, DirectFile file,
              std::unique_ptr<Uring> uring, uint32_t depth)
      : loader_(loader),
        pool_(pool),
        file_(file),
        uring_(std::move(uring)),
        depth_(depth),
        slots_(depth + 1) {
    for (uint32_t i = 0; i < slots_.size(); ++i) free_slots_.push_back(i);
  }

  void Run(LoadQueue& queue) override {
    while (true) {
      const bool stopping = !Fill(queue);
      if (stopping && in_flight_ == 0) return;
      const auto ended = uring_->Next(/*wait=*/true);
      if (!ended) continue;
      --in_flight_;
      // The disk goes on while this thread checks what has come.
      Fill(queue);
      Slot& slot = slots_[ended->token];
      Finish(slot, ended->result);
      queue.End(slot.job, slot.outcome);
      free_slots_.push_back(ended->token);
    }
  }

  void Wake() override { uring_->RingBell(); }

 private:
  struct Slot {
    LoadJob job;
    LoadOutcome outcome;
  };

  // Starts as many reads as may be in flight; false when the queue stops.
  bool Fill(LoadQueue& queue) {
    while (in_flight_ < depth_ && !free_slots_.empty()) {
      Slot& slot = slots_[free_slots_.back()];
      const LoadQueue::Taken taken = queue.Take(slot.job, *this);
      if (taken != LoadQueue::Taken::kJob) return taken == LoadQueue::Taken::kNothing;
      Start(free_slots_.back(), queue);
    }
    return true;
  }

  void Start(uint32_t slot_index, LoadQueue& queue) {
    Slot& slot = slots_[slot_index];
    loader_.Begin(slot.job, slot.outcome);
    if (uring_->Start(slot_index, OffsetOf(slot.job), TargetOf(slot.job))) {
      free_slots_.pop_back();
      ++in_flight_;
      return;
    }
    loader_.Load(slot.job, slot.outcome);
    queue.End(slot.job, slot.outcome);
  }

  uint64_t OffsetOf(const LoadJob& job) const {
    return file_.first_page_offset + job.first_page * kPageBytes;
  }
  std::span<std::byte> TargetOf(const LoadJob& job) const {
    return {pool_.slot(job.first_slot), size_t{job.page_count} * kPageBytes};
  }

  // A read that failed, or ended early, is done over in the plain way, which knows every error.
  void Finish(Slot& slot, int64_t result) {
    const std::span target = TargetOf(slot.job);
    const ssize_t got =
        CurrentFileOperations().EndRead(file_.descriptor, target.data(), target.size(),
                                        static_cast<off_t>(OffsetOf(slot.job)), result);
    if (got == static_cast<ssize_t>(target.size())) {
      loader_.End(slot.job, slot.outcome);
    } else {
      loader_.Load(slot.job, slot.outcome);
    }
  }

  const PageLoader& loader_;
  const PagePool& pool_;
  DirectFile file_;
  std::unique_ptr<Uring> uring_;
  uint32_t depth_;
  uint32_t in_flight_ = 0;
  std::vector<Slot> slots_;  // one more than reads in flight: that which is being checked
  std::vector<uint32_t> free_slots_;
};

}  // namespace

Result<std::unique_ptr<PageReader>> MakeUringReader(const PageLoader& loader, const PagePool& pool,
                                                    DirectFile file, std::span<std::byte> fixed,
                                                    uint32_t depth) {
  GS_ASSIGN(auto uring, Uring::Create(file.descriptor, depth));
  if (!fixed.empty()) uring->Register(fixed);
  return std::make_unique<UringReader>(loader, pool, file, std::move(uring), depth);
}

}  // namespace gguf_shard
