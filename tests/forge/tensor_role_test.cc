#include "forge/tensor_role.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace gguf_shard {
namespace {

std::vector<std::string> Sorted(std::vector<std::string> names) {
  std::stable_sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return TensorRoleOf(a).key < TensorRoleOf(b).key;
  });
  return names;
}

TEST(TensorRole, OrdersADenseModelAsItIsUsed) {
  const std::vector<std::string> used = {
      "token_embd.weight",        "rope_freqs.weight",        "blk.0.attn_norm.weight",
      "blk.0.attn_q.weight",      "blk.0.attn_q.bias",        "blk.0.attn_q_norm.weight",
      "blk.0.attn_k.weight",      "blk.0.attn_k_norm.weight", "blk.0.attn_v.weight",
      "blk.0.attn_output.weight", "blk.0.ffn_norm.weight",    "blk.0.ffn_gate.weight",
      "blk.0.ffn_up.weight",      "blk.0.ffn_down.weight",    "blk.1.attn_norm.weight",
      "blk.10.attn_norm.weight",  "output_norm.weight",       "output.weight"};
  std::vector<std::string> shuffled(used.rbegin(), used.rend());
  // Equal keys (a matrix and its bias) keep the source's order.
  std::swap(*std::find(shuffled.begin(), shuffled.end(), "blk.0.attn_q.weight"),
            *std::find(shuffled.begin(), shuffled.end(), "blk.0.attn_q.bias"));
  EXPECT_EQ(Sorted(shuffled), used);
}

TEST(TensorRole, OrdersAMixtureAsItIsUsed) {
  const std::vector<std::string> used = {"blk.3.ffn_norm.weight",      "blk.3.ffn_gate_inp.weight",
                                         "blk.3.ffn_gate_exps.weight", "blk.3.ffn_up_exps.weight",
                                         "blk.3.ffn_down_exps.weight", "blk.4.attn_norm.weight"};
  EXPECT_EQ(Sorted({used.rbegin(), used.rend()}), used);
}

TEST(TensorRole, PutsUnknownNamesLastInTheirLayerOrInTheModel) {
  const std::vector<std::string> used = {"blk.0.ffn_down.weight",  "blk.0.mystery_b.weight",
                                         "blk.0.mystery_a.weight", "blk.1.attn_norm.weight",
                                         "output.weight",          "something_else"};
  EXPECT_EQ(Sorted({"something_else", "output.weight", "blk.1.attn_norm.weight",
                    "blk.0.mystery_b.weight", "blk.0.mystery_a.weight", "blk.0.ffn_down.weight"}),
            used);
}

TEST(TensorRole, PutsAnEncoderBeforeTheDecoder) {
  EXPECT_LT(TensorRoleOf("enc.blk.23.attn_q.weight").key,
            TensorRoleOf("dec.blk.0.attn_q.weight").key);
}

TEST(TensorRole, ReadsTheLayerNumber) {
  EXPECT_EQ(TensorRoleOf("blk.17.attn_q.weight").layer, 17u);
  EXPECT_EQ(TensorRoleOf("enc.blk.5.attn_q.weight").layer, 5u);
  EXPECT_EQ(TensorRoleOf("output.weight").layer, std::nullopt);
  EXPECT_EQ(TensorRoleOf("blk.x.attn_q.weight").layer, std::nullopt);
  EXPECT_EQ(TensorRoleOf("blk.99999999999999999999.attn_q.weight").layer, std::nullopt);
  EXPECT_EQ(TensorRoleOf("blk.2000000.attn_q.weight").layer, std::nullopt);
}

TEST(TensorRole, KnowsHowTensorsAreUsed) {
  EXPECT_EQ(TensorRoleOf("token_embd.weight").use, TensorUse::kGathered);
  EXPECT_EQ(TensorRoleOf("output.weight").use, TensorUse::kMatrix);
  EXPECT_EQ(TensorRoleOf("blk.0.attn_q.weight").use, TensorUse::kMatrix);
  EXPECT_EQ(TensorRoleOf("blk.0.attn_q.bias").use, TensorUse::kSmallVector);
  EXPECT_EQ(TensorRoleOf("blk.0.ffn_gate.3.weight").use, TensorUse::kMatrix);
  EXPECT_EQ(TensorRoleOf("blk.0.ffn_up_exps.weight").use, TensorUse::kExperts);
  EXPECT_EQ(TensorRoleOf("blk.0.ffn_up_exps.bias").use, TensorUse::kSmallVector);
  EXPECT_EQ(TensorRoleOf("blk.0.ffn_gate_inp.weight").use, TensorUse::kRouter);
  EXPECT_EQ(TensorRoleOf("rope_factors_long.weight").use, TensorUse::kSmallVector);
  EXPECT_EQ(TensorRoleOf("blk.0.some_new_norm.weight").use, TensorUse::kSmallVector);
  EXPECT_EQ(TensorRoleOf("").use, TensorUse::kMatrix);
}

}  // namespace
}  // namespace gguf_shard
