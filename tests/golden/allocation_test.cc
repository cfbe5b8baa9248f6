// The token loop allocates nothing: this program's operator new counts.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/golden/golden_file.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GS_COUNTS_ALLOCATIONS 0  // their own operator new stays in place
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GS_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef GS_COUNTS_ALLOCATIONS
#define GS_COUNTS_ALLOCATIONS 1
#endif

namespace {
std::atomic<uint64_t> allocation_count = 0;
}

#if GS_COUNTS_ALLOCATIONS
namespace {
void* CountedAllocation(size_t size_bytes, size_t alignment) {
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  const size_t whole = (size_bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, whole == 0 ? alignment : whole);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
// Not inlined: beside a call of operator new GCC would take free for a mistake.
[[gnu::noinline]] void FreeAllocation(void* memory) { std::free(memory); }
}  // namespace

void* operator new(size_t size_bytes) {
  return CountedAllocation(size_bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(size_t size_bytes, std::align_val_t alignment) {
  return CountedAllocation(size_bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { FreeAllocation(memory); }
void operator delete(void* memory, size_t) noexcept { FreeAllocation(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { FreeAllocation(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { FreeAllocation(memory); }
#endif

namespace gguf_shard {
namespace {

// Allocations of `count` passes of one token each, after a prompt and some tokens.
uint64_t AllocationsOfTokens(const ShardedModel& model, const EngineOptions& options,
                             uint32_t count) {
  auto engine = model.Open(options);
  EXPECT_TRUE(engine) << engine.error().ToString();
  if (!engine) return UINT64_MAX;
  const std::vector<TokenId> prompt = {1, 5, 9, 12, 7};
  EXPECT_TRUE((*engine)->Evaluate(prompt));
  const TokenId token = 3;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE((*engine)->Evaluate({&token, 1}));
  const uint64_t before = allocation_count.load();
  bool sound = true;
  for (uint32_t i = 0; i < count; ++i) {
    sound &= (*engine)->Evaluate({&token, 1}).has_value();
  }
  const uint64_t after = allocation_count.load();
  EXPECT_TRUE(sound);
  return after - before;
}

class AllocationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!GS_COUNTS_ALLOCATIONS) GTEST_SKIP() << "sanitizers have their own operator new";
    auto sharded = ShardedModel::FromFile(InTreeDataDir() / "tale-Q4_K_M.gguf");
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    sharded_ = std::move(*sharded);
  }
  std::unique_ptr<ShardedModel> sharded_;
};

TEST_F(AllocationTest, TheCounterCounts) {
  const uint64_t before = allocation_count.load();
  auto number = std::make_unique<std::atomic<int>>(1);
  EXPECT_EQ(number->load(), 1);
  EXPECT_EQ(allocation_count.load() - before, 1u);
}

TEST_F(AllocationTest, TokensOfAResidentModelAllocateNothing) {
  EXPECT_EQ(AllocationsOfTokens(*sharded_, ExactOptions(), 20), 0u);
}

TEST_F(AllocationTest, TokensAllocateNothingWithCompactKeysAndOneThread) {
  EngineOptions options = ExactOptions();
  options.kv_type = KvType::kQ8_0;
  options.thread_count = 1;
  EXPECT_EQ(AllocationsOfTokens(*sharded_, options, 20), 0u);
}

}  // namespace
}  // namespace gguf_shard
