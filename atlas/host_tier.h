// Host memory between the disk and a device: runs that the device has no room for, kept as they
// were read, so that the next load of them is no read of the disk.
//
// Its memory is divided once. First come places of their own for the streamed runs, evenly spread
// over the schedule (what is read in a cycle gains nothing from LRU); what is left is frames, under
// LRU, for runs that are used on demand. Runs that have a slot of their own on the device are
// loaded once and get no place here.
//
// Thread-safe. A run is acquired by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <vector>

#include "atlas/page_pool.h"
#include "atlas/residency_plan.h"
#include "atlas/run_table.h"
#include "atlas/schedule.h"
#include "core/error.h"

namespace gguf_shard {

class HostTier {
 public:
  // `runs` must outlive it. 0 bytes, or a plan that keeps everything on the device: it keeps
  // nothing.
  static Result<HostTier> Create(const RunTable& runs, const Schedule& schedule,
                                 const ResidencyPlan& plan, uint64_t bytes);
  HostTier(HostTier&& other) noexcept;

  struct Place {
    uint64_t slot;   // of pool()
    bool holds_run;  // else the run may be read into it
  };
  // Nothing when the run has no place here. Otherwise the place is the caller's until Release.
  std::optional<Place> Acquire(uint32_t run_index);
  // `holds_run`: the place has the run's pages, and they are good.
  void Release(uint32_t run_index, bool holds_run);

  const PagePool& pool() const { return pool_; }
  uint64_t bytes() const { return pool_.page_count() * kPageBytes; }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Frame {
    uint32_t run_index = kNone;
    bool acquired = false;
    std::list<uint32_t>::iterator age;  // in by_age_
  };

  HostTier(const RunTable& runs, PagePool pool) : runs_(&runs), pool_(std::move(pool)) {}
  std::optional<Place> AcquireFrame(uint32_t run_index);
  uint64_t SlotOf(uint32_t frame) const {
    return first_frame_slot_ + uint64_t{frame} * frame_pages_;
  }

  const RunTable* runs_;
  PagePool pool_;
  std::mutex mutex_;                // guards what follows
  std::vector<uint32_t> own_slot_;  // by run; kNoSlot for runs without
  std::vector<bool> own_holds_;
  std::vector<bool> may_have_frame_;
  std::vector<uint32_t> frame_of_run_;
  std::vector<Frame> frames_;
  std::list<uint32_t> by_age_;  // frames, oldest first
  uint64_t first_frame_slot_ = 0;
  uint32_t frame_pages_ = 1;
};

}  // namespace gguf_shard
