#include "runtime/kv_cache.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace gguf_shard {
namespace {

Hyperparameters Numbers() {
  Hyperparameters numbers;
  numbers.layer_count = 3;
  numbers.head_count = 4;
  numbers.head_count_kv = 2;
  numbers.key_length = 64;
  numbers.value_length = 32;
  return numbers;
}

TEST(KvCacheTest, RowsOfAllLayersHeadsAndPositionsAreDisjoint) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    const auto cache = KvCache::Create(Numbers(), type, 5);
    ASSERT_TRUE(cache) << cache.error().ToString();
    const auto bytes = KvCache::Bytes(Numbers(), type, 5);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(cache->size_bytes(), *bytes);
    EXPECT_EQ(*bytes, 3u * 2 * 5 * (KvRowBytes(type, 64) + KvRowBytes(type, 32)));
    std::set<const std::byte*> starts;
    for (uint32_t layer = 0; layer < 3; ++layer) {
      for (uint32_t head = 0; head < 2; ++head) {
        for (uint32_t position = 0; position < 5; ++position) {
          starts.insert(cache->keys(layer, head) + position * cache->key_row_bytes());
          starts.insert(cache->values(layer, head) + position * cache->value_row_bytes());
        }
      }
    }
    EXPECT_EQ(starts.size(), 60u);
    const std::byte* last = cache->values(2, 1) + 4 * cache->value_row_bytes();
    EXPECT_EQ(static_cast<uint64_t>(last - cache->keys(0, 0)) + cache->value_row_bytes(), *bytes);
  }
}

TEST(KvCacheTest, BlocksThatDoNotFitAHeadAreRefused) {
  Hyperparameters numbers = Numbers();
  numbers.key_length = 48;
  const auto bytes = KvCache::Bytes(numbers, KvType::kQ8_0, 5);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(KvCache::Bytes(numbers, KvType::kF16, 5));
}

TEST(KvCacheTest, ACacheThatNoMemoryHoldsIsAnError) {
  const uint64_t positions = std::numeric_limits<uint64_t>::max() / 100;
  const auto bytes = KvCache::Bytes(Numbers(), KvType::kF32, positions);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace gguf_shard
