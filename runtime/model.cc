#include "runtime/model.h"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

namespace gguf_shard {

Model::Model(CoreFile core, const Architecture& architecture, Hyperparameters hyperparameters,
             std::unique_ptr<Tokenizer> tokenizer, Weights weights)
    : core_(std::move(core)),
      architecture_(&architecture),
      hyperparameters_(std::move(hyperparameters)),
      tokenizer_(std::move(tokenizer)),
      weights_(std::move(weights)),
      rope_(hyperparameters_.rope, architecture.rope_order, weights_.rope_factors) {}

Result<std::unique_ptr<Model>> Model::Load(const std::filesystem::path& map_path) {
  GS_ASSIGN(CoreFile core, CoreFile::Open(map_path, Caching::kDirect));
  return Load(std::move(core));
}

Result<std::unique_ptr<Model>> Model::Load(CoreFile core) {
  // A patch that is laid over a core checks the pages of its base itself.
  if (!core.has_overlay()) GS_TRY(core.LoadIndex());
  Hyperparameters numbers;
  const Architecture* architecture = nullptr;
  std::unique_ptr<Tokenizer> tokenizer;
  {
    // The header of a large vocabulary takes many megabytes: it goes before anything else comes.
    GS_ASSIGN(const GgufHeader header, core.ReadSourceHeader());
    GS_ASSIGN(const std::string_view name, header.GetString("general.architecture"));
    GS_ASSIGN(architecture, FindArchitecture(name));
    GS_ASSIGN(numbers, ReadHyperparameters(header));
    GS_ASSIGN(tokenizer, Tokenizer::Create(header));
  }
  GS_ASSIGN(Weights weights, BindWeights(core, *architecture, numbers));
  if (tokenizer->vocab_size() != weights.vocab_size()) {
    return Fail(Error(ErrorCode::kMalformed, "the tokenizer does not fit the token embedding")
                    .Expected(weights.vocab_size())
                    .Found(tokenizer->vocab_size()));
  }
  return std::unique_ptr<Model>(new Model(std::move(core), *architecture, std::move(numbers),
                                          std::move(tokenizer), std::move(weights)));
}

uint64_t Model::weight_bytes() const {
  uint64_t pages = 0;
  for (const MapTensor& tensor : map().tensors) pages += tensor.layout.page_count;
  return pages * kPageBytes;
}

}  // namespace gguf_shard
