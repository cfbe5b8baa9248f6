// A core opened for inference: its hyperparameters, tokenizer and bound tensors. The matrices stay
// on disk; what is held here is small.
// Immutable after loading; thread-safe.
#pragma once

#include <filesystem>
#include <memory>

#include "core/core_file.h"
#include "runtime/architecture.h"
#include "runtime/hyperparameters.h"
#include "runtime/rope.h"
#include "runtime/tokenizer.h"
#include "runtime/weights.h"

namespace gguf_shard {

class Model {
 public:
  // `map_path` names the map, or the folder that holds core.sgmap. The core is read past the
  // operating system's page cache where the file system can.
  static Result<std::unique_ptr<Model>> Load(const std::filesystem::path& map_path);

  // The same from an opened core, which may have a patch laid over it.
  static Result<std::unique_ptr<Model>> Load(CoreFile core);

  const CoreFile& core() const { return core_; }
  const CoreMap& map() const { return core_.map(); }
  const Architecture& architecture() const { return *architecture_; }
  const Hyperparameters& hyperparameters() const { return hyperparameters_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Weights& weights() const { return weights_; }
  const Rope& rope() const { return rope_; }
  // Bytes of the core's pages that hold tensors: what an unlimited pool would take.
  uint64_t weight_bytes() const;

 private:
  Model(CoreFile core, const Architecture& architecture, Hyperparameters hyperparameters,
        std::unique_ptr<Tokenizer> tokenizer, Weights weights);

  CoreFile core_;
  const Architecture* architecture_;
  Hyperparameters hyperparameters_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Weights weights_;
  Rope rope_;
};

}  // namespace gguf_shard
