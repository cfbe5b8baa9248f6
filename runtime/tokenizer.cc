#include "runtime/tokenizer.h"

#include <fmt/core.h>

#include "runtime/bpe_tokenizer.h"
#include "runtime/spm_tokenizer.h"

namespace gguf_shard {

Result<std::unique_ptr<Tokenizer>> Tokenizer::Create(const GgufHeader& header) {
  GS_ASSIGN(const std::string_view model, header.GetString("tokenizer.ggml.model"));
  if (model == "llama") return SpmTokenizer::Create(header);
  if (model == "gpt2") return BpeTokenizer::Create(header);
  return Fail(Error(ErrorCode::kUnsupported,
                    fmt::format("The tokenizer model \"{}\" is not supported", model))
                  .Expected("llama or gpt2")
                  .Found(std::string(model)));
}

}  // namespace gguf_shard
