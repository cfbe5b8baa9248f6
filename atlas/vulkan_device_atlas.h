// The atlas in device memory behind its interface (atlas/vulkan_atlas.h): the residency machine,
// the threads that load, the waves, and what the page table shows.
//
//   loading threads   one lane of the loader each: take a job, load and check it, end it
//   reaper            waits for the points of waves and table changes, in order; gives the waves'
//                     pins back
//
// What the table shows lags behind what is resident: a run is shown when a wave needs it, and is
// shown no more once its slots are given to others. Such changes gather in pending_ until the next
// Publish. shown_slot_ is what the table will show after that.
//
// A wave is full when it would have to wait for a frame while it holds as many universal frames as
// waves may (atlas/residency.h has the argument for liveness: a wait ends when somebody else's pins
// do), or when it has taken half of the ring: the other half is filled while its kernels run.
//
// Thread-safe as atlas/vulkan_atlas.h says. Two mutexes: publish_mutex_ is taken first, and orders
// table changes; mutex_ guards the state.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "atlas/host_tier.h"
#include "atlas/latency_samples.h"
#include "atlas/residency.h"
#include "atlas/residency_plan.h"
#include "atlas/schedule.h"
#include "atlas/vulkan_atlas.h"
#include "atlas/vulkan_loader.h"
#include "atlas/vulkan_page_table.h"
#include "atlas/vulkan_slots.h"

namespace gguf_shard {

class VulkanDeviceAtlas final : public VulkanAtlas {
 public:
  struct Parts {
    RunTable runs;
    Schedule schedule;
    ResidencyPlan plan;
    AtlasOptions options;  // of the residency machine
    VulkanSlots slots;
    VulkanPageTable table;
    HostTier host_tier;
    TransferMethod transfer;
    uint32_t lane_pages;
    uint32_t wave_frames;  // universal frames that waves may hold while they wait
    uint32_t held_runs;
    SlotHook* slot_hook;
  };
  VulkanDeviceAtlas(const CoreMap& map, PageSource& source, gpu::Device& device, Parts parts);
  ~VulkanDeviceAtlas() override;
  Result<void> Start();

  const RunTable& run_table() const override { return parts_.runs; }
  uint64_t page_table_address() const override { return parts_.table.address(); }
  bool everything_fits() const override { return parts_.plan.everything_fits(); }
  Result<bool> Need(uint32_t run_index) override;
  Result<gpu::TimelinePoint> Publish() override;
  void EndWave(gpu::TimelinePoint point) override;
  void Prefetch(std::span<const uint32_t> run_indices) override;
  Result<void> Hold(std::span<const uint32_t> run_indices) override;
  void Release(std::span<const uint32_t> run_indices) override;
  void ReleaseAfter(std::span<const uint32_t> run_indices, gpu::TimelinePoint point) override;
  Result<gpu::TimelinePoint> ShowHeld(std::span<const uint32_t> run_indices,
                                      std::span<const uint32_t> hidden) override;
  uint64_t AddressOf(uint32_t run_index, uint32_t page_of_run) const override;
  VulkanAtlasStats Stats() const override;

 private:
  struct Waiter {
    uint32_t run_index;
    bool done = false;
    std::optional<Error> error;
    std::condition_variable ended;
  };
  struct Wave {
    uint64_t number = 1;
    std::vector<uint32_t> pins;  // runs with counted pins
    uint32_t universal_frames = 0;
    uint64_t ring_pages = 0;
  };
  // What the reaper waits for.
  struct Ending {
    gpu::TimelinePoint point;
    std::vector<uint32_t> pins;
    std::vector<uint32_t> held;  // released then
    std::optional<std::chrono::steady_clock::time_point> swap_begun_at;
  };
  using Lock = std::unique_lock<std::mutex>;

  bool has_own_slot(uint32_t run_index) const { return parts_.plan.own_slot[run_index] != kNoSlot; }
  Result<void> PinAndWait(uint32_t run_index, Lock& lock);
  bool WaveIsFullFor(uint32_t run_index) const;
  void AddToWave(uint32_t run_index);
  bool IsUniversalFrame(uint32_t slot) const;
  void UnpinAll(std::span<const uint32_t> runs);
  uint64_t MostDriverBytes() const;
  void ReleaseHeld(std::span<const uint32_t> runs);

  // What the table shows.
  void Show(uint32_t run_index);
  void SetShown(uint32_t run_index, uint32_t slot);
  void HideWhatLay(const LoadJob& job);
  Result<gpu::TimelinePoint> Flush();
  std::vector<VulkanPageTable::Change> TakePending();

  // Loading.
  void WakeLoader() { work_.notify_one(); }
  void LoadLoop(uint32_t lane);
  void End(const LoadJob& job, DeviceLoadOutcome& outcome);
  void EndWaits(uint32_t run_index, const std::optional<Error>& error);
  void ReapLoop();
  void Reap(Ending& ending);

  const CoreMap& map_;
  PageSource& source_;
  gpu::Device& device_;
  Parts parts_;
  std::optional<VulkanLoader> loader_;

  std::unique_ptr<std::atomic<bool>[]> settled_;  // by run: in its own slot, and shown
  std::atomic<uint64_t> settled_hit_pages_{0};
  mutable std::atomic<uint64_t> most_driver_bytes_{0};

  std::mutex publish_mutex_;  // guards parts_.table
  mutable std::mutex mutex_;  // guards what follows
  Residency residency_;
  std::vector<Waiter*> waiters_;
  Wave wave_;
  std::vector<uint64_t> wave_of_run_;  // the newest wave that needed it
  std::vector<uint32_t> held_count_;   // by run
  uint32_t held_runs_ = 0;             // in sum, of those without a slot of their own
  std::vector<uint32_t> run_of_slot_;  // what lies or lay there; kNoSlot for nothing yet
  std::vector<uint32_t> shown_slot_;   // by run; kNoSlot when it is not shown
  std::vector<bool> is_pending_;       // by run
  std::vector<uint32_t> pending_;      // runs whose place in the table is out of date
  std::vector<gpu::TimelinePoint> loaded_points_;  // of the queues that loads ended on
  std::deque<Ending> endings_;
  std::optional<Error> lost_;  // the device
  bool stopping_ = false;
  bool reaper_stopping_ = false;
  VulkanAtlasStats totals_;
  LatencySamples swaps_;
  std::condition_variable work_;
  std::condition_variable endings_changed_;

  std::vector<std::thread> loading_;
  std::thread reaper_;
};

}  // namespace gguf_shard
