#include "runtime/attention.h"

#include <algorithm>
#include <cmath>

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
    rope_.Rotate(turns, head);
  }
}

void Attention::Attend(uint32_t layer_index, uint32_t first_position, uint32_t token_count,
                       Workspace& workspace) {
  // A whole group reads each cached row once; single heads when that would leave workers idle.
  const size_t groups = size_t{token_count} * numbers_.head_count_kv;
  const uint32_t group_heads = numbers_.heads_per_group();
  const uint32_t parts = groups >= 2 * size_t{workers_.worker_count()} ? 1 : group_heads;
  const uint32_t part_heads = group_heads / parts;
  workers_.ForEach(groups * parts, [&](size_t index, uint32_t worker) {
    const auto part = static_cast<uint32_t>(index % parts);
    const size_t group = index / parts;
    const auto token = static_cast<uint32_t>(group / numbers_.head_count_kv);
    const auto kv_head = static_cast<uint32_t>(group % numbers_.head_count_kv);
    const HeadRange range = {token, kv_head, kv_head * group_heads + part * part_heads, part_heads};
    AttendHeads(layer_index, first_position + token, range, workspace.WorkerScores(worker),
                workspace);
  });
}

void Attention::AttendHeads(uint32_t layer_index, uint32_t position, const HeadRange& range,
                            std::span<float> scores, Workspace& workspace) const {
  const uint32_t seen = position + 1;
  const uint32_t key_length = numbers_.key_length;
  const uint32_t value_length = numbers_.value_length;
  const float* queries = workspace.query.data() + size_t{range.token} * numbers_.query_width() +
                         size_t{range.first_head} * key_length;
  float* attended = workspace.attended.data() + size_t{range.token} * numbers_.attention_width() +
                    size_t{range.first_head} * value_length;
  const std::byte* keys = cache_.keys(layer_index, range.kv_head);
  for (uint32_t at = 0; at < seen; ++at) {
    const std::byte* row = keys + at * cache_.key_row_bytes();
    for (uint32_t head = 0; head < range.head_count; ++head) {
      scores[size_t{head} * seen + at] =
          scale_ *
          DotKvRow(isa_, cache_.type(), queries + size_t{head} * key_length, row, key_length);
    }
  }
  for (uint32_t head = 0; head < range.head_count; ++head) {
    Softmax(isa_, scores.data() + size_t{head} * seen, seen);
  }
  std::fill_n(attended, size_t{range.head_count} * value_length, 0.0f);
  const std::byte* values = cache_.values(layer_index, range.kv_head);
  for (uint32_t at = 0; at < seen; ++at) {
    const std::byte* row = values + at * cache_.value_row_bytes();
    for (uint32_t head = 0; head < range.head_count; ++head) {
      AccumulateKvRow(isa_, cache_.type(), scores[size_t{head} * seen + at], row, value_length,
                      attended + size_t{head} * value_length);
    }
  }
}

}  // namespace gguf_shard
