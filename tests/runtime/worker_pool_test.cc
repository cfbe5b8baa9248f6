#include "runtime/worker_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace gguf_shard {
namespace {

std::unique_ptr<WorkerPool> MakePool(uint32_t worker_count) {
  auto pool = WorkerPool::Create(worker_count);
  EXPECT_TRUE(pool);
  return std::move(*pool);
}

TEST(WorkerPoolTest, CallsTheBodyOnceForEachIndex) {
  for (const uint32_t workers : {1u, 2u, 5u}) {
    const auto pool = MakePool(workers);
    EXPECT_EQ(pool->worker_count(), workers);
    for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}}) {
      std::vector<std::atomic<int>> calls(count);
      pool->ForEach(count, [&](size_t index, uint32_t worker) {
        EXPECT_LT(worker, workers);
        ++calls[index];
      });
      EXPECT_TRUE(
          std::all_of(calls.begin(), calls.end(), [](const auto& each) { return each == 1; }))
          << workers << " workers, " << count << " indices";
    }
  }
}

TEST(WorkerPoolTest, OneLoopSeesWhatTheLastOneWrote) {
  const auto pool = MakePool(4);
  std::vector<int> from(64, 0);
  std::vector<int> to(64, 0);
  for (int round = 1; round <= 2000; ++round) {
    // Each value comes from a neighbour's, most likely another worker's of the loop before.
    pool->ForEach(from.size(), [&](size_t index, uint32_t) {
      to[index] = from[(index + 17) % from.size()] + 1;
    });
    ASSERT_EQ(std::count(to.begin(), to.end(), round), 64);
    std::swap(from, to);
  }
}

TEST(WorkerPoolTest, ASlowIndexDoesNotHoldUpTheOthers) {
  const auto pool = MakePool(2);
  std::atomic<size_t> done = 0;
  pool->ForEach(50, [&](size_t index, uint32_t) {
    if (index == 0) {
      while (done < 49) std::this_thread::yield();
    }
    ++done;
  });
  EXPECT_EQ(done, 50u);
}

TEST(WorkerPoolTest, TheFirstErrorEndsTheLoop) {
  const auto pool = MakePool(3);
  std::atomic<size_t> calls = 0;
  const Result<void> result = pool->TryForEach(100000, [&](size_t index, uint32_t) -> Result<void> {
    ++calls;
    if (index == 10) return Fail(ErrorCode::kIo, "broken");
    return {};
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kIo);
  EXPECT_LT(calls, 100000u);
  // The pool is whole afterwards.
  EXPECT_TRUE(pool->TryForEach(100, [](size_t, uint32_t) { return Result<void>(); }));
}

TEST(WorkerPoolTest, StretchesCoverEachIndexOnce) {
  for (const uint32_t workers : {1u, 2u, 5u}) {
    const auto pool = MakePool(workers);
    for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}}) {
      std::vector<std::atomic<int>> calls(count);
      const auto at_most_seven = [&](size_t first, size_t most) {
        EXPECT_LT(first, count);
        EXPECT_GE(most, 1u);
        EXPECT_LE(most, std::max<size_t>(1, (count - first) / (2 * workers)));
        return std::min<size_t>(most, 7);
      };
      const auto mark = [&](const IndexStretch& stretch, uint32_t worker) -> Result<void> {
        EXPECT_LT(worker, workers);
        EXPECT_LE(stretch.count, 7u);
        EXPECT_GE(stretch.likely_next, stretch.first + stretch.count + workers - 1);
        for (size_t i = 0; i < stretch.count; ++i) ++calls[stretch.first + i];
        return {};
      };
      EXPECT_TRUE(pool->TryForEachStretch(count, at_most_seven, mark));
      EXPECT_TRUE(
          std::all_of(calls.begin(), calls.end(), [](const auto& each) { return each == 1; }))
          << workers << " workers, " << count << " indices";
    }
  }
}

TEST(WorkerPoolTest, TheFirstErrorEndsTheStretches) {
  const auto pool = MakePool(3);
  std::atomic<size_t> calls = 0;
  const Result<void> result = pool->TryForEachStretch(
      100000, [](size_t, size_t) { return size_t{1}; },
      [&](const IndexStretch& stretch, uint32_t) -> Result<void> {
        ++calls;
        if (stretch.first == 10) return Fail(ErrorCode::kIo, "broken");
        return {};
      });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kIo);
  EXPECT_LT(calls, 100000u);
}

}  // namespace
}  // namespace gguf_shard
