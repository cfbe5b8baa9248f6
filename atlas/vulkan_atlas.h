// The atlas in device memory: the weights of a model inside a fixed number of page slots on a
// Vulkan device, which kernels find through a page table on the device.
//
//   page table   one u64 for every page of the core: the device address of the slot that holds the
//                page, or of the guard page (0xFF bytes: NaNs) when it holds none. A table lies at
//                page_table_address() for as long as the atlas lives.
//   slots        in slabs, several buffers; which runs have one is decided by the same residency
//                machine as in host memory (atlas/residency.h).
//   wave         what one submission of kernels reads. It is made like this, by one thread:
//
//                  for each run that the next kernels read:
//                    Need(run)        waits until its pages are in slots and checked
//                                     false: the wave is full; submit what is recorded, and again
//                  Publish()          submits the page table's changes on the compute queue
//                  Submit(kernels)    by the caller, on the compute queue, after Publish
//                  EndWave(point)     the wave's runs may leave once the submission has ended
//
// A run that a wave needed stays where it is until the wave's point has passed, so kernels in
// flight always read the pages that they were submitted with. Table changes run between
// submissions of the compute queue, never beside one: they are seen all at once.
//
// Way of a page: disk, or the host cache (a run that has a place there is read from disk once) ->
// staging memory -> slot, on the transfer queue -> its tag is checked in the slot, on the device
// (atlas/shaders/tag_check.comp) -> only then may the table show it. On unified memory disk reads
// go straight into slots. A page that fails its check is read once more from the source; then
// Need fails with an error naming file, tensor, page and both CRCs.
//
// Memory: everything on the device (slots, table, guard, staging that is not imported) is
// allocated in Open, within memory_bytes.
//
// Thread-safety: Need, Publish and EndWave from one thread at a time; Hold, Release, ShowHeld,
// Prefetch and Stats from many. The destructor waits for waves in flight.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/page_source.h"
#include "atlas/run_table.h"
#include "core/error.h"
#include "core/map.h"
#include "gpu/device.h"
#include "gpu/queue.h"

namespace gguf_shard {

// How pages get from host memory into slots.
enum class TransferMethod : uint8_t {
  kAuto,      // the first of these that the device and the system allow
  kDirect,    // slots are host memory: no copy
  kImported,  // copied by the device out of our own host memory
  kUpload,    // copied by the device out of memory that it gave us
};
std::string_view TransferMethodName(TransferMethod method);  // "direct", "imported", "upload"

// For tests: sees a read's pages in their slots before the check, where the host can.
class SlotHook {
 public:
  virtual ~SlotHook() = default;
  virtual void BeforeCheck(uint64_t first_page, std::span<std::byte> slots) = 0;
};

struct VulkanAtlasOptions {
  uint64_t memory_bytes = 0;      // on the device, for everything
  uint64_t host_cache_bytes = 0;  // host memory for runs that the device has no room for
  uint64_t max_ring_bytes = uint64_t{128} << 20;  // of the slots, for streamed runs
  uint32_t prefetch_distance = 8;                 // shards read ahead at most
  uint32_t io_threads = 4;                        // loads in flight
  // Runs that have neither a slot of their own nor one in the ring, per wave; one more of them is
  // what makes a wave full. Set it to the runs of the largest set that a kernel needs at once.
  uint32_t runs_per_wave = 8;
  static constexpr uint32_t kAsManyAsFit = ~uint32_t{0};
  uint32_t held_runs = 0;  // as many may be held beside waves
  TransferMethod transfer = TransferMethod::kAuto;
  SlotHook* slot_hook = nullptr;
};

struct VulkanAtlasStats {
  AtlasStats pages;             // hits, prefetches, stalls, reads of the source, as in host memory
  uint64_t host_hit_pages = 0;  // loads that the host cache served
  uint64_t disk_pages = 0;      // loads that the source served
  uint64_t host_cache_bytes = 0;  // its size
  uint64_t bytes_to_device = 0;   // over the link (0 where slots are host memory)
  uint64_t checked_pages = 0;     // on the device
  double check_seconds = 0;       // from submitting copies and check to their end
  uint64_t swaps = 0;             // page-table changes: Publish calls that changed something
  uint64_t swapped_runs = 0;      // in them
  double swap_mean_seconds = 0;   // from submitting a change until kernels see it
  double swap_p50_seconds = 0;
  double swap_p99_seconds = 0;
  uint64_t waves = 0;
  uint64_t device_bytes = 0;       // allocated by the atlas
  uint64_t peak_device_bytes = 0;  // of the whole device object
  // The most that the driver was seen to report for this process, after Open and at each Stats; 0
  // where it cannot say.
  uint64_t driver_reported_bytes = 0;
  TransferMethod transfer = TransferMethod::kAuto;  // the one in use
};

class VulkanAtlas {
 public:
  // As Atlas::Open; all arguments but the schedule and the options must outlive the atlas.
  // kBudgetTooSmall names the smallest memory_bytes that would do.
  static Result<std::unique_ptr<VulkanAtlas>> Open(const CoreMap& map, PageSource& source,
                                                   gpu::Device& device,
                                                   std::vector<uint32_t> scheduled_tensors,
                                                   const VulkanAtlasOptions& options);
  // The smallest memory_bytes that Open accepts for these options, and what holds all pages.
  static uint64_t MinimumMemoryBytes(const CoreMap& map, const gpu::Device& device,
                                     const VulkanAtlasOptions& options);
  static uint64_t ResidentMemoryBytes(const CoreMap& map, const gpu::Device& device,
                                      const VulkanAtlasOptions& options);
  virtual ~VulkanAtlas() = default;

  virtual const RunTable& run_table() const = 0;
  virtual uint64_t page_table_address() const = 0;
  // Whether every page has a slot of its own: then no wave is ever full.
  virtual bool everything_fits() const = 0;

  virtual Result<bool> Need(uint32_t run_index) = 0;
  // The point at which the table shows all that the wave needed; submissions of the compute queue
  // need not wait for it.
  virtual Result<gpu::TimelinePoint> Publish() = 0;
  // A default point ends a wave that was not submitted.
  virtual void EndWave(gpu::TimelinePoint point) = 0;

  // As Atlas::Prefetch.
  virtual void Prefetch(std::span<const uint32_t> run_indices) = 0;

  // Outside waves: brings a set of runs into slots, checked, and keeps them there until each is
  // released; the table does not show what it did not show before. All or none: an error leaves
  // nothing held. kBudgetTooSmall when more runs would be held than held_runs.
  virtual Result<void> Hold(std::span<const uint32_t> run_indices) = 0;
  virtual void Release(std::span<const uint32_t> run_indices) = 0;
  // Releases them once the point has passed.
  virtual void ReleaseAfter(std::span<const uint32_t> run_indices, gpu::TimelinePoint point) = 0;
  // Makes the table show held runs, and `hidden` ones (which no wave needs) no more: all of it in
  // one change.
  virtual Result<gpu::TimelinePoint> ShowHeld(std::span<const uint32_t> run_indices,
                                              std::span<const uint32_t> hidden = {}) = 0;
  // The device address of a page of a held run.
  virtual uint64_t AddressOf(uint32_t run_index, uint32_t page_of_run) const = 0;

  virtual VulkanAtlasStats Stats() const = 0;
};

}  // namespace gguf_shard
