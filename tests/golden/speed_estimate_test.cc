// What runtime/speed_estimate.h makes of given rates: no measurement, so exact figures.
#include "runtime/speed_estimate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/golden/sharded_model.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kAmpleBytes = uint64_t{1} << 30;

SyntheticModel Description(uint32_t experts) {
  SyntheticModel model;
  model.name = experts > 0 ? "experts" : "dense";
  model.architecture = experts > 0 ? "qwen3moe" : "llama";
  model.width = 256;
  model.feed_forward = 1024;
  model.layers = 4;
  model.experts = experts;
  model.experts_used = experts / 4;
  model.expert_feed_forward = 256;
  model.head_norms = experts > 0;
  return model;
}

MachineSpeed Speed(double disk, double memory, double kernels) {
  MachineSpeed speed;
  speed.disk_bytes_per_second = disk;
  speed.memory_bytes_per_second = memory;
  speed.kernel_bytes_per_second[TensorType::kF32] = kernels;
  return speed;
}

class SpeedEstimateTest : public ::testing::Test {
 protected:
  void Load(uint32_t experts) {
    auto sharded = ShardedModel::FromSynthetic(Description(experts));
    ASSERT_TRUE(sharded) << sharded.error().ToString();
    sharded_ = std::move(*sharded);
    auto model = Model::Load(sharded_->map_path());
    ASSERT_TRUE(model) << model.error().ToString();
    model_ = std::move(*model);
    options_.thread_count = 2;
  }
  SpeedEstimate Estimate(uint64_t pool_bytes, const MachineSpeed& speed) const {
    const auto estimate = EstimateSpeed(*model_, options_, pool_bytes, speed);
    EXPECT_TRUE(estimate) << estimate.error().ToString();
    return estimate ? *estimate : SpeedEstimate();
  }
  // Pages of all multiplied matrices that are no experts.
  uint64_t ScheduledBytes() const {
    uint64_t bytes = 0;
    for (const uint32_t tensor : ScheduleOf(model_->weights())) {
      bytes += model_->map().tensors[tensor].layout.page_count * kPageBytes;
    }
    return bytes;
  }

  std::unique_ptr<ShardedModel> sharded_;
  std::unique_ptr<const Model> model_;
  EngineOptions options_;
};

TEST_F(SpeedEstimateTest, ModelThatFitsIsLimitedByKernelsOrMemory) {
  Load(0);
  const SpeedEstimate slow_kernels = Estimate(kAmpleBytes, Speed(1e3, 8e9, 2e9));
  EXPECT_EQ(slow_kernels.token_bytes, ScheduledBytes());
  EXPECT_EQ(slow_kernels.streamed_bytes, 0u);
  EXPECT_EQ(slow_kernels.resident_share(), 1.0);
  EXPECT_EQ(slow_kernels.limit, SpeedLimit::kCompute);
  const auto token_bytes = static_cast<double>(slow_kernels.token_bytes);
  EXPECT_DOUBLE_EQ(slow_kernels.seconds_per_token(), token_bytes / 2e9);
  const SpeedEstimate fast_kernels = Estimate(kAmpleBytes, Speed(1e3, 8e9, 7e9));
  EXPECT_EQ(fast_kernels.limit, SpeedLimit::kMemory) << "within a fifth of plain reads";
  EXPECT_DOUBLE_EQ(fast_kernels.seconds_per_token(), token_bytes / 7e9);
  EXPECT_DOUBLE_EQ(Estimate(kAmpleBytes, Speed(1e3, 8e9, 9e9)).seconds_per_token(),
                   token_bytes / 8e9)
      << "never faster than memory";
}

TEST_F(SpeedEstimateTest, WhatIsNotResidentIsReadForEveryToken) {
  Load(0);
  const MachineSpeed speed = Speed(1e8, 8e9, 8e9);
  uint64_t last_bytes = ScheduledBytes() + 1;
  for (const uint64_t tenths : {3, 5, 7, 9}) {
    const SpeedEstimate estimate = Estimate(model_->weight_bytes() / 10 * tenths, speed);
    EXPECT_LT(estimate.streamed_bytes, last_bytes) << tenths;
    EXPECT_GE(estimate.streamed_bytes + estimate.pool_bytes, estimate.token_bytes) << tenths;
    EXPECT_GT(estimate.streamed_bytes, 0u) << tenths;
    EXPECT_DOUBLE_EQ(estimate.disk_seconds, static_cast<double>(estimate.streamed_bytes) / 1e8);
    EXPECT_EQ(estimate.limit, SpeedLimit::kDisk) << tenths;
    EXPECT_EQ(estimate.seconds_per_token(), estimate.disk_seconds) << tenths;
    last_bytes = estimate.streamed_bytes;
  }
  const SpeedEstimate fast_disk = Estimate(model_->weight_bytes() / 2, Speed(1e15, 8e9, 8e9));
  EXPECT_EQ(fast_disk.limit, SpeedLimit::kMemory);
  EXPECT_EQ(fast_disk.seconds_per_token(), fast_disk.compute_seconds);
}

TEST_F(SpeedEstimateTest, ExpertsCountAsFarAsTheyAreChosen) {
  Load(8);
  const SpeedEstimate whole = Estimate(kAmpleBytes, Speed(1e8, 8e9, 8e9));
  uint64_t expert_bytes = 0;
  for (const MapTensor& tensor : model_->map().tensors) {
    if (tensor.layout.slice_count > 1) expert_bytes += tensor.layout.page_count * kPageBytes;
  }
  ASSERT_GT(expert_bytes, 0u);
  EXPECT_EQ(whole.token_bytes, ScheduledBytes() + expert_bytes / 4) << "two of eight";
  EXPECT_EQ(whole.streamed_bytes, 0u);
  const SpeedEstimate half = Estimate(model_->weight_bytes() / 2, Speed(1e8, 8e9, 8e9));
  EXPECT_GT(half.streamed_bytes, 0u);
  EXPECT_LT(half.streamed_bytes, expert_bytes / 4) << "a part of the experts is there";
}

TEST_F(SpeedEstimateTest, PoolThatIsTooSmallIsRefused) {
  Load(0);
  const auto refused = EstimateSpeed(*model_, options_, kPageBytes, Speed(1e8, 8e9, 8e9));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
}

TEST_F(SpeedEstimateTest, MeasuredRatesArePositive) {
  Load(0);
  const auto machine = MeasureMachine(*model_, 2);
  ASSERT_TRUE(machine) << machine.error().ToString();
  EXPECT_GT(machine->disk_bytes_per_second, 0);
  EXPECT_GT(machine->memory_bytes_per_second, 0);
  ASSERT_EQ(machine->kernel_bytes_per_second.size(), 1u);
  EXPECT_GT(machine->kernel_bytes_per_second.at(TensorType::kF32), 0);
}

}  // namespace
}  // namespace gguf_shard
