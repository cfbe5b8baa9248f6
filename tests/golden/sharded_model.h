// A GGUF sharded into a temporary folder, and engines over it.
#pragma once

#include <filesystem>
#include <memory>

#include "core/error.h"
#include "runtime/engine.h"
#include "tests/support/temporary_directory.h"
#include "tests/tools/synthetic_model.h"

namespace gguf_shard {

class ShardedModel {
 public:
  static Result<std::unique_ptr<ShardedModel>> FromFile(const std::filesystem::path& gguf);
  static Result<std::unique_ptr<ShardedModel>> FromSynthetic(const SyntheticModel& model);

  const std::filesystem::path& map_path() const { return map_path_; }
  std::filesystem::path core_path() const;
  Result<std::unique_ptr<Engine>> Open(const EngineOptions& options) const;

 private:
  ShardedModel() = default;
  Result<void> Shard(const std::filesystem::path& gguf);

  TemporaryDirectory directory_;
  std::filesystem::path map_path_;
};

// Options for exact comparisons: f32 keys and values, two threads.
EngineOptions ExactOptions();

// The logits after every token, [token][vocab], of a fresh sequence.
Result<std::vector<float>> AllLogits(Engine& engine, std::span<const TokenId> tokens);
double LogSumExp(std::span<const float> logits);

}  // namespace gguf_shard
