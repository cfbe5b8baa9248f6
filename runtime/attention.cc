#include "runtime/attention.h"

#include <algorithm>
#include <cmath>

#include "core/bytes.h"
#include "kernels/vector_ops.h"

namespace gguf_shard {
namespace {

void AddBias(KernelIsa isa, const std::vector<float>& bias, float* values) {
  if (!bias.empty()) AddInPlace(isa, values, bias.data(), bias.size());
}

}  // namespace

Attention::Attention(const Hyperparameters& numbers, const Rope& rope, KvCache& cache,
                     WorkerPool& workers, KernelIsa isa)
    : numbers_(numbers),
      rope_(rope),
      cache_(cache),
      workers_(workers),
      isa_(isa),
      scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(numbers.key_length)))) {}

void Attention::Store(const LayerWeights& layer, uint32_t layer_index, uint32_t first_position,
                      uint32_t token_count, Workspace& workspace) {
  workers_.ForEach(token_count, [&](size_t token, uint32_t) {
    const auto row = static_cast<uint32_t>(token);
    StoreToken(layer, layer_index, first_position + row, row, workspace);
  });
}

void Attention::StoreToken(const LayerWeights& layer, uint32_t layer_index, uint32_t position,
                           uint32_t token, Workspace& workspace) {
  float* query = workspace.query.data() + size_t{token} * numbers_.query_width();
  float* key = workspace.key.data() + size_t{token} * numbers_.key_width();
  float* value = workspace.value.data() + size_t{token} * numbers_.value_width();
  AddBias(isa_, layer.query.bias, query);
  AddBias(isa_, layer.key.bias, key);
  AddBias(isa_, layer.value.bias, value);
  const size_t turn_count = numbers_.rope.dimensions;
  const auto turns = workspace.turns.subspan(token * turn_count, turn_count);
  PrepareHeads(query, numbers_.head_count, layer.query_norm, turns);
  PrepareHeads(key, numbers_.head_count_kv, layer.key_norm, turns);
  for (uint32_t head = 0; head < numbers_.head_count_kv; ++head) {
    StoreKvRow(isa_, cache_.type(), key + size_t{head} * numbers_.key_length, numbers_.key_length,
               cache_.keys(layer_index, head) + position * cache_.key_row_bytes());
    StoreKvRow(isa_, cache_.type(), value + size_t{head} * numbers_.value_length,
               numbers_.value_length,
               cache_.values(layer_index, head) + position * cache_.value_row_bytes());
  }
}

void Attention::PrepareHeads(float* heads, uint32_t head_count, std::span<const float> norm,
                             std::span<const float> turns) const {
  for (uint32_t index = 0; index < head_count; ++index) {
    float* head = heads + size_t{index} * numbers_.key_length;
    if (!norm.empty()) {
      RmsNorm(isa_, head, norm.data(), numbers_.rms_epsilon, norm.size(), head);
    }
    rope_.Rotate(isa_, turns, head);
  }
}

void Attention::Attend(uint32_t layer_index, uint32_t first_position, uint32_t token_count,
                       Workspace& workspace) {
  // Enough queries to make up for converting keys and values, and enough parts for all workers:
  // first fewer tokens to a part, then fewer heads.
  const uint32_t group_heads = numbers_.heads_per_group();
  const uint32_t kv_heads = numbers_.head_count_kv;
  const uint32_t wanted_parts = 2 * workers_.worker_count();
  uint32_t part_tokens = std::max(1u, kAttendQueries / group_heads);
  while (part_tokens > 1 && DivCeil(token_count, part_tokens) * kv_heads < wanted_parts) {
    part_tokens /= 2;
  }
  const auto token_parts = static_cast<uint32_t>(DivCeil(token_count, part_tokens));
  uint32_t head_parts = 1;
  while (head_parts < group_heads && token_parts * kv_heads * head_parts < wanted_parts) {
    do ++head_parts;
    while (group_heads % head_parts != 0);
  }
  const uint32_t part_heads = group_heads / head_parts;
  workers_.ForEach(size_t{token_parts} * kv_heads * head_parts, [&](size_t index, uint32_t worker) {
    // The last tokens see the most and take the longest: they come first.
    const auto from_end = static_cast<uint32_t>(index / (kv_heads * head_parts));
    const auto head_part = static_cast<uint32_t>(index % (kv_heads * head_parts));
    Part part;
    part.first_token = (token_parts - 1 - from_end) * part_tokens;
    part.token_count = std::min(part_tokens, token_count - part.first_token);
    part.kv_head = head_part / head_parts;
    part.first_head = head_part * part_heads;
    part.head_count = part_heads;
    AttendPart(layer_index, first_position, part, workspace.WorkerAttention(worker), workspace);
  });
}

void Attention::AttendPart(uint32_t layer_index, uint32_t first_position, const Part& part,
                           std::span<float> scratch, Workspace& workspace) const {
  AttendTask task;
  task.query_stride = numbers_.query_width();
  task.attended_stride = numbers_.attention_width();
  task.queries = workspace.query.data() + part.first_token * task.query_stride +
                 size_t{part.first_head} * numbers_.key_length;
  task.attended = workspace.attended.data() + part.first_token * task.attended_stride +
                  size_t{part.first_head} * numbers_.value_length;
  task.token_count = part.token_count;
  task.head_count = part.head_count;
  task.first_position = first_position + part.first_token;
  task.scale = scale_;
  task.keys = cache_.keys(layer_index, part.kv_head);
  task.values = cache_.values(layer_index, part.kv_head);
  task.key_row_bytes = cache_.key_row_bytes();
  task.value_row_bytes = cache_.value_row_bytes();
  task.key_length = numbers_.key_length;
  task.value_length = numbers_.value_length;
  task.scratch = scratch.data();
  gguf_shard::Attend(isa_, cache_.type(), task);
}

}  // namespace gguf_shard
