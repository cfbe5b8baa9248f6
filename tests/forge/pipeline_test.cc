#include "forge/pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/cancel.h"

namespace gguf_shard {
namespace {

// `count` batches of one page each; stages do nothing unless a test says so.
PipelineStages EmptyStages(uint64_t count) {
  PipelineStages stages;
  stages.next = [count, next = uint64_t{0}]() mutable -> std::optional<Batch> {
    if (next == count) return std::nullopt;
    Batch batch;
    batch.sequence = next++;
    batch.source_bytes = 1000;
    batch.page_bytes = kPageBytes;
    return batch;
  };
  stages.load = [](BatchWork&) -> Result<void> { return {}; };
  stages.work = stages.load;
  stages.finish = stages.load;
  return stages;
}

TEST(Pipeline, FinishesInOrderWhatIsLoadedAndWorkedOnInAnyOrder) {
  PipelineStages stages = EmptyStages(300);
  std::atomic<uint64_t> loaded = 0;
  std::atomic<uint64_t> worked = 0;
  uint64_t finished = 0;
  stages.load = [&](BatchWork& work) -> Result<void> {
    ++loaded;
    work.pages[0] = static_cast<std::byte>(work.batch.sequence);
    return {};
  };
  stages.work = [&](BatchWork& work) -> Result<void> {
    ++worked;
    if (work.batch.sequence % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    work.source[999] = work.pages[0];
    return {};
  };
  stages.finish = [&](BatchWork& work) -> Result<void> {
    EXPECT_EQ(work.batch.sequence, finished++);
    EXPECT_EQ(work.source[999], static_cast<std::byte>(work.batch.sequence));
    return {};
  };
  EXPECT_TRUE(RunPipeline(stages).has_value());
  EXPECT_EQ(loaded, 300u);
  EXPECT_EQ(worked, 300u);
  EXPECT_EQ(finished, 300u);
}

TEST(Pipeline, TwoStagesInOrderSeeEveryBatchAndOneMayLag) {
  PipelineStages stages = EmptyStages(200);
  uint64_t finished = 0;
  uint64_t beside = 0;
  stages.work = [](BatchWork& work) -> Result<void> {
    work.source[0] = static_cast<std::byte>(work.batch.sequence);
    return {};
  };
  stages.finish = [&](BatchWork& work) -> Result<void> {
    EXPECT_EQ(work.batch.sequence, finished++);
    EXPECT_EQ(work.source[0], static_cast<std::byte>(work.batch.sequence));
    return {};
  };
  stages.beside = [&](BatchWork& work) -> Result<void> {
    if (work.batch.sequence % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(work.batch.sequence, beside++);
    EXPECT_EQ(work.source[0], static_cast<std::byte>(work.batch.sequence));
    return {};
  };
  EXPECT_TRUE(RunPipeline(stages).has_value());
  EXPECT_EQ(finished, 200u);
  EXPECT_EQ(beside, 200u);
}

TEST(Pipeline, EndsWhenThereIsNothingToDo) { EXPECT_TRUE(RunPipeline(EmptyStages(0)).has_value()); }

TEST(Pipeline, StopsAtTheFirstErrorOfAnyStage) {
  const auto fail_at_100 = [](BatchWork& work) -> Result<void> {
    if (work.batch.sequence == 100) return Fail(ErrorCode::kIo, "page 100");
    return {};
  };
  for (auto stage : {&PipelineStages::load, &PipelineStages::work, &PipelineStages::finish,
                     &PipelineStages::beside}) {
    PipelineStages stages = EmptyStages(100'000);
    stages.*stage = fail_at_100;
    uint64_t next_calls = 0;
    stages.next = [&next_calls, next = stages.next] {
      ++next_calls;
      return next();
    };
    const auto result = RunPipeline(stages);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().sentence(), "page 100");
    EXPECT_LT(next_calls, 100'000u);
  }
}

TEST(Pipeline, TurnsARefusedAllocationIntoAnError) {
  PipelineStages stages = EmptyStages(10);
  stages.work = [](BatchWork&) -> Result<void> { throw std::bad_alloc(); };
  const auto result = RunPipeline(stages);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), ErrorCode::kOutOfMemory);
}

TEST(Pipeline, StopsWhenTheUserInterrupts) {
  PipelineStages stages = EmptyStages(100'000);
  stages.finish = [](BatchWork& work) -> Result<void> {
    if (work.batch.sequence == 10) RequestCancel();
    return {};
  };
  const auto result = RunPipeline(stages);
  ClearCancel();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), ErrorCode::kCancelled);
}

TEST(BufferPool, NeverExceedsItsBudget) {
  BufferPool pool(10 * kPageBytes, 4 * kPageBytes);
  auto first = pool.Acquire(100);
  auto second = pool.Acquire(4 * kPageBytes);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(first->bytes().size(), 4u * kPageBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first->bytes().data()) % kPageBytes, 0u);

  std::atomic<bool> got_third = false;
  std::jthread waiter([&] {
    const auto third = pool.Acquire(3 * kPageBytes);
    EXPECT_TRUE(third.has_value());
    got_third = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(got_third);
  *first = PooledBuffer();
  waiter.join();
  EXPECT_TRUE(got_third);
}

TEST(BufferPool, GivesAnOversizedBufferWhenNothingElseIsInUse) {
  BufferPool pool(4 * kPageBytes, kPageBytes);
  const auto large = pool.Acquire(100 * kPageBytes);
  ASSERT_TRUE(large.has_value());
  EXPECT_GE(large->bytes().size(), 100u * kPageBytes);
}

TEST(BufferPool, ReusesWhatCameBack) {
  BufferPool pool(4 * kPageBytes, kPageBytes);
  const std::byte* place = nullptr;
  {
    const auto buffer = pool.Acquire(kPageBytes);
    place = buffer->bytes().data();
  }
  EXPECT_EQ(pool.Acquire(10)->bytes().data(), place);
}

TEST(BufferPool, WakesWhoWaitsWhenItCloses) {
  BufferPool pool(kPageBytes, kPageBytes);
  const auto held = pool.Acquire(kPageBytes);
  std::jthread closer([&pool] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    pool.Close();
  });
  const auto refused = pool.Acquire(kPageBytes);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace gguf_shard
