// The pool's memory: whole, aligned for huge pages, and in them where the system has them.
#include "atlas/page_pool.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "core/huge_pages.h"

namespace gguf_shard {
namespace {

bool HugePagesAreGivenOnRequest() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return text.find("[madvise]") != std::string::npos || text.find("[always]") != std::string::npos;
}

// Of the mapping that holds an address, a number of /proc/self/smaps in KiB; 0 without one.
uint64_t SmapsKib(const void* address, const std::string& name) {
  std::ifstream file("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uint64_t>(address);
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.starts_with(name + ":")) {
      return std::stoull(line.substr(name.size() + 1));
    }
  }
  return 0;
}

TEST(PagePool, StartsOnAHugePageAndTakesNoMemoryBeforeItIsTouched) {
  const auto pool = PagePool::Allocate(4096);
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->page_count(), 4096u);
  EXPECT_EQ(reinterpret_cast<uint64_t>(pool->slot(0)) % kHugePageBytes, 0u);
  EXPECT_EQ(pool->slot(4095) - pool->slot(0), 4095 * int64_t{kPageBytes});
  EXPECT_EQ(SmapsKib(pool->slot(0), "Rss"), 0u);
}

TEST(PagePool, TouchedSlotsLieInHugePages) {
  if (!HugePagesAreGivenOnRequest()) GTEST_SKIP() << "this system gives no huge pages on request";
  const auto pool = PagePool::Allocate(8192);
  ASSERT_TRUE(pool);
  ASSERT_TRUE(pool->Touch(0, pool->page_count()));
  EXPECT_GE(SmapsKib(pool->slot(0), "Rss"), 32u * 1024);
  const uint64_t huge_kib = SmapsKib(pool->slot(0), "AnonHugePages");
  if (huge_kib == 0) GTEST_SKIP() << "no free huge pages at the moment";
  EXPECT_GE(huge_kib, 16u * 1024) << "of 32 MiB";
}

TEST(PagePool, SlotsCanBeTouchedAgainAndKeepWhatTheyHold) {
  const auto pool = PagePool::Allocate(16);
  ASSERT_TRUE(pool);
  ASSERT_TRUE(pool->Touch(0, 16));
  *pool->slot(15) = std::byte{7};
  ASSERT_TRUE(pool->Touch(8, 8));
  EXPECT_EQ(*pool->slot(15), std::byte{7});
}

TEST(PagePool, EmptyAndImpossibleSizes) {
  const auto empty = PagePool::Allocate(0);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->page_count(), 0u);
  const auto refused = PagePool::Allocate(uint64_t{1} << 48);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace gguf_shard
