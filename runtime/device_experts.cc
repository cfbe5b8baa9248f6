// The mixture-of-experts half of a layer on a device. The router runs there; the host reads which
// experts it chose, because their pages must be brought in, and groups the tokens by expert.
#include <algorithm>

#include "runtime/device_pass.h"

namespace gguf_shard {

Result<void> DevicePass::FeedExperts(const DeviceLayer& layer, uint32_t token_count) {
  GS_TRY(Route(layer, token_count));
  GS_TRY(GroupByExpert(token_count));
  AnnounceExperts(layer);
  GS_TRY(RunExperts(layer));
  GS_TRY(recorder_.Barrier());
  CombineExpertsArguments combine;
  combine.outputs = workspace_.expert_output.address;
  combine.pairs = workspace_.chosen_pair.address;
  combine.weights = workspace_.chosen_weight.address;
  combine.branch = workspace_.branch.address;
  combine.width = numbers_.embedding_length;
  combine.stride = workspace_.branch.stride;
  combine.used_count = numbers_.expert_used_count;
  GS_ASSIGN(gpu::Commands* const commands, recorder_.Commands());
  return recorder_.kernels().CombineExperts(*commands, token_count, combine);
}

Result<void> DevicePass::Route(const DeviceLayer& layer, uint32_t token_count) {
  GS_TRY(recorder_.PackFor({&*layer.router, &layer.gates.front(), &layer.ups.front()},
                           workspace_.normed, numbers_.embedding_length, token_count));
  GS_TRY(recorder_.Multiply(*layer.router, workspace_.normed, workspace_.router, token_count));
  GS_TRY(recorder_.Barrier());
  RouteExpertsArguments route;
  route.router = workspace_.router.address;
  route.chosen = workspace_.chosen.address;
  route.weights = workspace_.chosen_weight.address;
  route.expert_count = numbers_.expert_count;
  route.used_count = numbers_.expert_used_count;
  route.stride = workspace_.router.stride;
  GS_ASSIGN(gpu::Commands* const commands, recorder_.Commands());
  GS_TRY(recorder_.kernels().RouteExperts(*commands, token_count, route));
  return recorder_.Finish();
}

// A counting sort of the choices by expert, as FeedForward::GroupByExpert does it for the host.
Result<void> DevicePass::GroupByExpert(uint32_t token_count) {
  const uint32_t used = numbers_.expert_used_count;
  const auto chosen = workspace_.chosen.host.first(size_t{token_count} * used);
  read_back_bytes_ += chosen.size_bytes();
  std::ranges::fill(expert_begin_, 0u);
  for (const uint32_t expert : chosen) {
    if (expert >= numbers_.expert_count) {
      return Fail(ErrorCode::kDevice, "the device chose an expert that does not exist");
    }
    ++expert_begin_[expert + 1];
  }
  for (size_t expert = 1; expert < expert_begin_.size(); ++expert) {
    expert_begin_[expert] += expert_begin_[expert - 1];
  }
  // expert_begin_[e] serves as the cursor of expert e and ends where e + 1 begins; shifted back.
  for (uint32_t index = 0; index < chosen.size(); ++index) {
    const uint32_t pair = expert_begin_[chosen[index]]++;
    workspace_.pair_rows.host[pair] = index / used;
    workspace_.chosen_pair.host[index] = pair;
  }
  for (size_t expert = expert_begin_.size() - 1; expert > 0; --expert) {
    expert_begin_[expert] = expert_begin_[expert - 1];
  }
  expert_begin_[0] = 0;
  return {};
}

void DevicePass::AnnounceExperts(const DeviceLayer& layer) {
  announced_.clear();
  const auto announce = [&](const std::vector<DeviceProduct>& products, uint32_t expert) {
    if (expert_begin_[expert] != expert_begin_[expert + 1]) {
      announced_.push_back(&products[expert]);
    }
  };
  for (uint32_t expert = 0; expert < numbers_.expert_count; ++expert) {
    announce(layer.gates, expert);
    announce(layer.ups, expert);
  }
  for (uint32_t expert = 0; expert < numbers_.expert_count; ++expert) {
    announce(layer.downs, expert);
  }
  recorder_.Announce(announced_);
}

Result<void> DevicePass::RunExperts(const DeviceLayer& layer) {
  for (uint32_t expert = 0; expert < numbers_.expert_count; ++expert) {
    const uint32_t first = expert_begin_[expert];
    const uint32_t count = expert_begin_[expert + 1] - first;
    if (count == 0) continue;
    const uint64_t tokens = workspace_.pair_rows.address + first * sizeof(uint32_t);
    GS_TRY(recorder_.Multiply(layer.gates[expert], workspace_.normed, workspace_.gate.From(first),
                              count, tokens));
    GS_TRY(recorder_.Multiply(layer.ups[expert], workspace_.normed, workspace_.up.From(first),
                              count, tokens));
  }
  GS_TRY(recorder_.Barrier());
  GS_TRY(Gate(layer, expert_begin_.back(), numbers_.expert_feed_forward_length));
  GS_TRY(recorder_.Barrier());
  GS_TRY(recorder_.PackFor({&layer.downs.front()}, workspace_.gate,
                           numbers_.expert_feed_forward_length, expert_begin_.back()));
  for (uint32_t expert = 0; expert < numbers_.expert_count; ++expert) {
    const uint32_t first = expert_begin_[expert];
    const uint32_t count = expert_begin_[expert + 1] - first;
    if (count == 0) continue;
    GS_TRY(recorder_.Multiply(layer.downs[expert], workspace_.gate.From(first),
                              workspace_.expert_output.From(first), count));
  }
  return {};
}

}  // namespace gguf_shard
