#include "tests/golden/sharded_model.h"

#include <algorithm>
#include <cmath>

#include "forge/shard.h"

namespace gguf_shard {

Result<std::unique_ptr<ShardedModel>> ShardedModel::FromFile(const std::filesystem::path& gguf) {
  std::unique_ptr<ShardedModel> model(new ShardedModel);
  GS_TRY(model->Shard(gguf));
  return model;
}

Result<std::unique_ptr<ShardedModel>> ShardedModel::FromSynthetic(const SyntheticModel& synthetic) {
  std::unique_ptr<ShardedModel> model(new ShardedModel);
  const std::filesystem::path gguf = model->directory_ / (synthetic.name + ".gguf");
  GS_TRY(WriteSyntheticGguf(synthetic, gguf));
  GS_TRY(model->Shard(gguf));
  return model;
}

Result<void> ShardedModel::Shard(const std::filesystem::path& gguf) {
  ShardOptions options;
  options.output_directory = directory_ / "shard";
  NoProgress progress;
  GS_ASSIGN(const ShardReport report, ShardModel(gguf, options, progress));
  map_path_ = report.map_path;
  return {};
}

std::filesystem::path ShardedModel::core_path() const {
  return map_path_.parent_path() / kCoreFileName;
}

Result<std::unique_ptr<Engine>> ShardedModel::Open(const EngineOptions& options) const {
  GS_ASSIGN(std::unique_ptr<const Model> model, Model::Load(map_path_));
  return Engine::Open(std::move(model), options);
}

EngineOptions ExactOptions() {
  EngineOptions options;
  options.kv_type = KvType::kF32;
  options.thread_count = 2;
  options.all_logits = true;
  return options;
}

Result<std::vector<float>> AllLogits(Engine& engine, std::span<const TokenId> tokens) {
  std::vector<float> all;
  engine.Reset();
  GS_TRY(engine.EvaluateAll(tokens, [&](uint32_t, std::span<const float> logits) -> Result<void> {
    all.insert(all.end(), logits.begin(), logits.end());
    return {};
  }));
  return all;
}

double LogSumExp(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

}  // namespace gguf_shard
