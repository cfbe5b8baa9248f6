// The threads that give a pool its memory: all of it, nothing lost, and no waiting to the end.
#include "atlas/pool_warmer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <thread>
#include <vector>

namespace gguf_shard {
namespace {

uint64_t ResidentPages(const PagePool& pool) {
  std::vector<unsigned char> present(pool.page_count());
  if (mincore(pool.slot(0), pool.page_count() * kPageBytes, present.data()) != 0) return 0;
  uint64_t count = 0;
  for (const unsigned char page : present) count += page & 1;
  return count;
}

bool KernelPopulates() {
  const auto pool = PagePool::Allocate(1);
  return pool && pool->Populate(0, 1);
}

TEST(PoolWarmer, GivesEverySlotMemory) {
  if (!KernelPopulates()) GTEST_SKIP() << "this kernel has no MADV_POPULATE_WRITE";
  const auto pool = PagePool::Allocate(3 * 512 + 7);
  ASSERT_TRUE(pool);
  ASSERT_EQ(ResidentPages(*pool), 0u);
  PoolWarmer warmer;
  warmer.Start(*pool);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (ResidentPages(*pool) < pool->page_count()) {
    ASSERT_LT(std::chrono::steady_clock::now(), limit);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(PoolWarmer, KeepsWhatIsWrittenMeanwhile) {
  const auto pool = PagePool::Allocate(16 * 512);
  ASSERT_TRUE(pool);
  {
    PoolWarmer warmer;
    warmer.Start(*pool);
    for (uint64_t slot = pool->page_count(); slot-- > 0;) *pool->slot(slot) = std::byte{9};
  }
  for (uint64_t slot = 0; slot < pool->page_count(); ++slot) {
    ASSERT_EQ(*pool->slot(slot), std::byte{9}) << slot;
  }
}

TEST(PoolWarmer, EndsBeforeItsWorkIsDone) {
  if (!KernelPopulates()) GTEST_SKIP() << "this kernel has no MADV_POPULATE_WRITE";
  const auto pool = PagePool::Allocate(uint64_t{1} << 21);  // 8 GiB of addresses
  ASSERT_TRUE(pool);
  PoolWarmer().Start(*pool);
  EXPECT_LT(ResidentPages(*pool), pool->page_count() / 2);
}

TEST(PoolWarmer, AnEmptyPoolNeedsNoThread) {
  const auto pool = PagePool::Allocate(0);
  ASSERT_TRUE(pool);
  PoolWarmer().Start(*pool);
  EXPECT_EQ(pool->page_count(), 0u);
}

}  // namespace
}  // namespace gguf_shard
