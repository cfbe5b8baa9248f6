// The options that every command with an inference engine has, and how it opens one.
// For one thread.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/engine.h"

namespace gguf_shard {

struct EngineArguments {
  std::string path;
  std::vector<std::string> patches;  // laid over the core, first to last
  uint64_t memory_budget_bytes = 0;
  uint64_t pool_bytes = 0;
  uint32_t threads = 0;
  uint32_t context_length = 0;
  uint32_t batch_tokens = 0;
  std::string kv_type;
  std::string device = "auto";
  uint64_t vram_budget_bytes = 0;
  int64_t gpu_layers = -1;         // below 0: all
  int64_t prefetch_distance = -1;  // below 0: the map's
  std::string cache_policy;        // empty: the map's
  std::string io_method;
};

// Adds PATH and the options; `default_kv_type` is "f32", "f16" or "q8_0".
void AddEngineArguments(CLI::App& command, EngineArguments& arguments,
                        const std::string& default_kv_type);

// Loads the model that PATH names. A GGUF that is not a core is told how to become one.
Result<std::unique_ptr<const Model>> LoadModel(const EngineArguments& arguments);
Result<EngineOptions> MakeEngineOptions(const EngineArguments& arguments);

// "1,2,3" as ids; kInvalidArgument for anything else.
Result<std::vector<TokenId>> ParseTokenIds(const std::string& text);

}  // namespace gguf_shard
