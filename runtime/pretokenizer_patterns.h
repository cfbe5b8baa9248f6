// The pre-tokenizers by the name that tokenizer.ggml.pre has for them: their regular expressions,
// as the models' tokenizer.json files publish them, and what else goes with the name. Immutable
// tables; thread-safe.
#pragma once

#include <span>
#include <string_view>

namespace gguf_shard {

struct PreTokenizerSpec {
  std::span<const std::string_view> patterns;  // applied one after another
  bool ignores_merges;                         // a piece that is a token as a whole is that token
  bool adds_bos;                               // unless tokenizer.ggml.add_bos_token says otherwise
};

// What a vocabulary without a name gets.
inline constexpr std::string_view kDefaultPreTokenizer = "default";

// nullptr for a name that is not known.
const PreTokenizerSpec* FindPreTokenizer(std::string_view name);

std::span<const std::string_view> PreTokenizerNames();  // ascending

}  // namespace gguf_shard
