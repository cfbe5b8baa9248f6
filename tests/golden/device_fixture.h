// Engines on the Vulkan device that is there (lavapipe at least), with the validation layers
// watching: a message of theirs fails the test. Tests are skipped where there is no device.
// For one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

#include "gpu/device.h"
#include "runtime/engine.h"
#include "tests/golden/golden_checks.h"
#include "tests/golden/sharded_model.h"
#include "tests/support/testdata.h"

namespace gguf_shard {

class DeviceEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (gpu::ListDevices().empty()) GTEST_SKIP() << "there is no Vulkan device";
    messages_before_ = gpu::GetValidationMessages().count;
  }
  void TearDown() override {
    const auto messages = gpu::GetValidationMessages();
    EXPECT_EQ(messages.count, messages_before_) << messages.first;
  }

  // F32 keys and values, a context and a batch that do not follow from the machine's memory.
  static EngineOptions DeviceOptions() {
    EngineOptions options = ExactOptions();
    options.device.choice = DeviceChoice::kVulkan;
    options.context_length = 128;
    options.batch_tokens = 32;
    return options;
  }

  static Result<std::vector<float>> LogitsOf(const ShardedModel& sharded,
                                             const EngineOptions& options,
                                             std::span<const TokenId> tokens) {
    GS_ASSIGN(const auto engine, sharded.Open(options));
    return AllLogits(*engine, tokens);
  }

  // The same bits with so much memory for pages, which is kept.
  static void ExpectSameLogits(const ShardedModel& sharded, uint64_t pool_bytes,
                               std::span<const TokenId> tokens, std::span<const float> expected) {
    EngineOptions options = DeviceOptions();
    options.pool_bytes = pool_bytes;
    const auto engine = sharded.Open(options);
    ASSERT_TRUE(engine) << engine.error().ToString();
    const auto logits = AllLogits(**engine, tokens);
    ASSERT_TRUE(logits) << logits.error().ToString();
    EXPECT_TRUE(std::ranges::equal(*logits, expected));
    const auto stats = (*engine)->Stats();
    ASSERT_TRUE(stats) << stats.error().ToString();
    EXPECT_LE(stats->device->atlas.device_bytes, pool_bytes);
  }

 private:
  uint64_t messages_before_ = 0;
};

}  // namespace gguf_shard
