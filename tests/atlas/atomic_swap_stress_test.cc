// The C library under stress: swaps, pins, prefetches, verification and statistics from several
// threads, over a source whose reads fail, while kernels read the page table and pinned pages.
// Every result is compared with the reference; which sets a kernel may have seen is known to the
// swap. GGUF_SHARD_STRESS_SECONDS makes it longer (docs/TESTING.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "atlas/capi/atlas_handle.h"
#include "atlas/fault_page_source.h"
#include "gpu/vulkan_handles.h"
#include "tests/atlas/synthetic_core.h"
#include "tests/atlas/vulkan_atlas_fixture.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kProbes = 3;  // pages of a shard that kernels read: its first, middle and last

FaultPlan SomeFaults() {
  FaultPlan plan;
  plan.seed = 11;
  plan.flip_share = 0.03;
  plan.io_error_share = 0.01;
  plan.short_read_share = 0.01;
  plan.failing_reads = 2;  // the second try fails too
  plan.period = 6;
  plan.delay_share = 0.1;
  plan.max_delay = std::chrono::microseconds(200);
  return plan;
}

// Which sets were current, in order: set k is what the k-th swap left.
class SwapHistory {
 public:
  using Set = std::vector<bool>;  // by shard
  explicit SwapHistory(size_t shard_count) : sets_{Set(shard_count, false)} {}

  // Of the swaps that have been ended, and begun.
  size_t ended() const { return ended_; }
  size_t begun() const { return begun_; }
  void Begin() { ++begun_; }
  void End(std::optional<Set> changed) {
    const std::lock_guard lock(mutex_);
    sets_.push_back(changed ? *changed : sets_.back());
    ++ended_;
  }
  bool HadAny(const Set& seen, size_t first, size_t last) const {
    const std::lock_guard lock(mutex_);
    last = std::min(last, sets_.size() - 1);
    for (size_t k = first; k <= last; ++k) {
      if (sets_[k] == seen) return true;
    }
    return false;
  }

 private:
  std::atomic<size_t> begun_{0};
  std::atomic<size_t> ended_{0};
  mutable std::mutex mutex_;  // guards what follows
  std::vector<Set> sets_;
};

class AtomicSwapStress : public VulkanAtlasTest {
 protected:
  struct Seen {
    SwapHistory::Set set;
    size_t first;
    size_t last;
  };

  void SetUp() override {
    VulkanAtlasTest::SetUp();
    if (!device_) return;
    WriteSyntheticCore(model_, folder_.path());
    const gpu::DeviceHandles& handles = device_->handles();
    vulkan_.instance = handles.instance->handle();
    vulkan_.physical_device = handles.physical.handle;
    vulkan_.device = handles.device;
    vulkan_.queue = device_->compute_queue().handles().queue;
    vulkan_.queue_family = handles.physical.compute_family;
    vulkan_.lock_context = &queue_mutex_;
    vulkan_.lock_queues = [](void* mutex) { static_cast<std::mutex*>(mutex)->lock(); };
    vulkan_.unlock_queues = [](void* mutex) { static_cast<std::mutex*>(mutex)->unlock(); };
  }

  // The library's atlas over failing reads, with memory for a share of the model's pages.
  void OpenLibrary(bool on_device, uint32_t percent) {
    atlas_options options{};
    options.struct_size = sizeof options;
    options.device = ATLAS_HOST_MEMORY;
    options.io_threads = 3;
    options.memory_bytes = model_.tensor_pages() * kPageBytes * percent / 100;
    if (on_device) {
      options.vulkan = &vulkan_;
      options.memory_bytes = Options(percent, TransferMethod::kAuto).memory_bytes;
    }
    memory_bytes_ = options.memory_bytes;
    auto core = CoreFile::Open(folder_.path());
    ASSERT_TRUE(core);
    opened_ = new atlas_handle(std::move(*core));
    opened_->source = std::make_unique<FaultPageSource>(memory_, SomeFaults());
    const auto backend = OpenBackend(*opened_, options);
    ASSERT_TRUE(backend) << backend.error().ToString();
    for (uint64_t id = 0; id < atlas_shard_count(opened_); ++id) {
      atlas_shard shard{};
      ASSERT_EQ(atlas_shard_info(opened_, id, &shard), ATLAS_OK);
      shards_.push_back(shard);
      for (const uint64_t page : {uint64_t{0}, shard.page_count / 2, shard.page_count - 1}) {
        probes_.push_back(static_cast<uint32_t>(shard.first_page + page));
      }
    }
    std::byte guard[kPageBytes];
    std::memset(guard, 0xFF, sizeof guard);
    hidden_ = PageSummer::SumOf(guard);
  }

  static bool IsExpected(atlas_result result) {
    return result == ATLAS_OK || result == ATLAS_BUDGET_TOO_SMALL || result == ATLAS_IO ||
           result == ATLAS_TRUNCATED || result == ATLAS_CHECKSUM_MISMATCH;
  }

  // One thread: random sets, every other with a semaphore.
  void Swap(SwapHistory& history, Random& random, VkSemaphore semaphore) {
    SwapHistory::Set set(shards_.size(), false);
    std::vector<uint64_t> ids;
    for (uint32_t i = random.Below(4); i > 0; --i) {
      ids.push_back(random.Below(static_cast<uint32_t>(shards_.size())));
      set[ids.back()] = true;
    }
    const bool with_signal = semaphore != VK_NULL_HANDLE && random.Below(2) == 0;
    const atlas_timeline signal{reinterpret_cast<uint64_t>(semaphore), signalled_ + 1};
    history.Begin();
    const atlas_result swapped =
        atlas_atomic_swap(opened_, ids.data(), ids.size(), with_signal ? &signal : nullptr);
    EXPECT_TRUE(IsExpected(swapped)) << atlas_last_error();
    ++(swapped == ATLAS_OK ? swaps_ : failed_swaps_);
    history.End(swapped == ATLAS_OK ? std::optional(set) : std::nullopt);
    if (with_signal && swapped == ATLAS_OK) WaitFor(semaphore, ++signalled_);
  }

  void WaitFor(VkSemaphore semaphore, uint64_t value) const {
    VkSemaphoreWaitInfo wait{};
    wait.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
    wait.semaphoreCount = 1;
    wait.pSemaphores = &semaphore;
    wait.pValues = &value;
    EXPECT_EQ(device_->handles().vk.vkWaitSemaphores(device_->handles().device, &wait, ~0ull),
              VK_SUCCESS);
  }

  VkSemaphore MakeSemaphore() const {
    VkSemaphoreTypeCreateInfo type{};
    type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    VkSemaphoreCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    info.pNext = &type;
    VkSemaphore semaphore = VK_NULL_HANDLE;
    EXPECT_EQ(device_->handles().vk.vkCreateSemaphore(device_->handles().device, &info, nullptr,
                                                      &semaphore),
              VK_SUCCESS);
    return semaphore;
  }

  uint32_t SumOfPage(uint64_t page) const { return PageSummer::SumOf(memory_.page(page)); }

  gpu::TimelinePoint Submit(uint64_t table, std::span<const uint32_t> pages, uint32_t first) {
    const std::lock_guard lock(queue_mutex_);
    return summer_->Submit(table, pages, first);
  }

  // A kernel reads pages of every shard through the table: each shard as a whole is shown or not.
  void ReadTable(const SwapHistory& history) {
    uint64_t table = 0;
    ASSERT_EQ(atlas_page_table(opened_, &table), ATLAS_OK);
    Seen seen{SwapHistory::Set(shards_.size(), false), history.ended(), 0};
    const auto point = Submit(table, probes_, 0);
    seen.last = history.begun();
    ASSERT_TRUE(device_->compute_queue().Wait(point.value));
    for (size_t shard = 0; shard < shards_.size(); ++shard) {
      uint32_t shown = 0;
      for (uint32_t i = 0; i < kProbes; ++i) {
        const auto probe = static_cast<uint32_t>(shard * kProbes + i);
        const uint32_t sum = summer_->Sum(probe);
        if (sum == hidden_) continue;
        ++shown;
        EXPECT_EQ(sum, SumOfPage(probes_[probe])) << "page " << probes_[probe];
      }
      EXPECT_TRUE(shown == 0 || shown == kProbes) << "shard " << shard << " is shown in parts";
      seen.set[shard] = shown > 0;
    }
    seen_.push_back(std::move(seen));
  }

  // Pins a shard; its pages are read where the library says that they are.
  void PinAndRead(Random& random, bool on_device, gpu::Buffer* table, uint32_t first) {
    const uint64_t id = random.Below(static_cast<uint32_t>(shards_.size()));
    std::vector<atlas_page> pages(shards_[id].page_count);
    const atlas_result pinned = atlas_pin(opened_, id, pages.data(), pages.size());
    EXPECT_TRUE(IsExpected(pinned)) << atlas_last_error();
    if (pinned != ATLAS_OK) return;
    ++pins_;
    const uint64_t first_page = shards_[id].first_page;
    if (on_device) {
      std::memcpy(table->mapped(), pages.data(), pages.size() * sizeof pages[0]);
      std::vector<uint32_t> numbers(pages.size());
      std::iota(numbers.begin(), numbers.end(), 0);
      const auto point = Submit(table->address(), numbers, first);
      EXPECT_TRUE(device_->compute_queue().Wait(point.value));
      for (uint32_t i = 0; i < pages.size(); ++i) {
        EXPECT_EQ(summer_->Sum(first + i), SumOfPage(first_page + i));
      }
    } else {
      for (uint32_t i = 0; i < pages.size(); ++i) {
        EXPECT_EQ(std::memcmp(pages[i].host_pointer, memory_.page(first_page + i), kPageBytes), 0);
      }
    }
    EXPECT_EQ(atlas_unpin(opened_, id), ATLAS_OK);
  }

  // Announcements, statistics, and a look at the file.
  void Meddle(Random& random) {
    const uint64_t ids[] = {random.Below(static_cast<uint32_t>(shards_.size())),
                            random.Below(static_cast<uint32_t>(shards_.size()))};
    EXPECT_EQ(atlas_prefetch(opened_, ids, 2), ATLAS_OK);
    atlas_statistics statistics{};
    statistics.struct_size = sizeof statistics;
    EXPECT_EQ(atlas_stats(opened_, &statistics), ATLAS_OK);
    EXPECT_LE(statistics.memory_bytes, memory_bytes_);
    if (random.Below(50) == 0) {
      EXPECT_EQ(atlas_verify(opened_, ids, 1), ATLAS_OK);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.Below(500)));
  }

  void Stress(bool on_device, std::chrono::milliseconds duration);

  TemporaryDirectory folder_;
  std::mutex queue_mutex_;
  atlas_vulkan vulkan_{};
  atlas_handle* opened_ = nullptr;
  uint64_t memory_bytes_ = 0;
  std::vector<atlas_shard> shards_;
  std::vector<uint32_t> probes_;
  uint32_t hidden_ = 0;
  uint64_t signalled_ = 0;
  std::vector<Seen> seen_;
  std::atomic<uint64_t> swaps_{0};
  std::atomic<uint64_t> failed_swaps_{0};
  std::atomic<uint64_t> pins_{0};
};

void AtomicSwapStress::Stress(bool on_device, std::chrono::milliseconds duration) {
  SwapHistory history(shards_.size());
  const VkSemaphore semaphore = on_device ? MakeSemaphore() : VK_NULL_HANDLE;
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;
  const auto start = [&](uint64_t seed, std::function<void(Random&)> work) {
    threads.emplace_back([&stopping, seed, work = std::move(work)] {
      Random random(seed);
      while (!stopping) work(random);
    });
  };
  start(1, [&](Random& random) { Swap(history, random, semaphore); });
  std::vector<gpu::Buffer> tables(2);
  for (uint32_t i = 0; i < 2; ++i) {
    if (on_device) {
      auto table = gpu::Buffer::Allocate(*device_, gpu::MemoryKind::kReadback, 8192);
      ASSERT_TRUE(table);
      tables[i] = std::move(*table);
    }
    start(2 + i,
          [&, i](Random& random) { PinAndRead(random, on_device, &tables[i], 1024 * (i + 1)); });
  }
  start(4, [&](Random& random) { Meddle(random); });
  if (on_device) start(5, [&](Random&) { ReadTable(history); });
  std::this_thread::sleep_for(duration);
  stopping = true;
  for (std::thread& thread : threads) thread.join();
  for (const Seen& seen : seen_) {
    ASSERT_TRUE(history.HadAny(seen.set, seen.first, seen.last))
        << "a kernel saw a set that was not current between swap " << seen.first << " and "
        << seen.last;
  }
  atlas_close(opened_);
  if (on_device) {
    device_->handles().vk.vkDestroySemaphore(device_->handles().device, semaphore, nullptr);
  }
}

std::chrono::milliseconds StressTime() {
  const char* wish = std::getenv("GGUF_SHARD_STRESS_SECONDS");
  return std::chrono::milliseconds(wish == nullptr ? 1500 : std::max(1, std::atoi(wish)) * 1000);
}

TEST_F(AtomicSwapStress, KernelsSeeWholeSetsOfGoodPages) {
  OpenLibrary(true, 45);
  Stress(true, StressTime());
  EXPECT_GT(swaps_, 0u);
  EXPECT_GT(failed_swaps_, 0u);
  EXPECT_GT(pins_, 0u);
  EXPECT_GT(seen_.size(), 0u);
  RecordProperty("swaps", std::to_string(swaps_));
  RecordProperty("failed_swaps", std::to_string(failed_swaps_));
  RecordProperty("pins", std::to_string(pins_));
  RecordProperty("kernels", std::to_string(seen_.size() + pins_));
}

TEST_F(AtomicSwapStress, HostMemoryHoldsGoodPages) {
  OpenLibrary(false, 50);
  Stress(false, StressTime());
  EXPECT_GT(swaps_, 0u);
  EXPECT_GT(failed_swaps_, 0u);
  EXPECT_GT(pins_, 0u);
}

}  // namespace
}  // namespace gguf_shard
