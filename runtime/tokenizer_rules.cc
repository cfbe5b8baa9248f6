#include "runtime/tokenizer_rules.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace gguf_shard {
namespace {

// Texts that end an answer, a turn or a file in the chat and code models that are in use; ordered
// for binary search.
constexpr std::array<std::string_view, 30> kEndTexts = {
    "<EOT>",
    "<REPO>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<eos>",
    "<fim-pad>",
    "<fim-repo>",
    "<fim_pad>",
    "<reponame>",
    "<turn|>",
    "<|calls|>",
    "<|call|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|file_sep|>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|flush|>",
    "<|im_end|>",
    "<|repo_name|>",
    "<|return|>",
    "<|tool_response>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",  // DeepSeek
    "[EOS]",
    "[EOT]",
    "[e~[",
    "_<EOT>",
};
static_assert(std::is_sorted(kEndTexts.begin(), kEndTexts.end()));

Result<TokenId> ReadTokenId(const GgufHeader& header, std::string_view key, TokenId fallback,
                            const TokenVocab& vocab) {
  const GgufValue* value = header.Find(key);
  if (value == nullptr) return vocab.Contains(fallback) ? fallback : kNoToken;
  const auto id = value->AsInt();
  if (!id) {
    return Fail(ErrorCode::kMalformed, fmt::format("The metadata key {} is not an integer", key));
  }
  // -1, also as an unsigned number, is how converters write "none".
  if (*id == -1 || *id == int64_t{UINT32_MAX}) return kNoToken;
  if (*id < 0 || static_cast<uint64_t>(*id) >= vocab.size()) {
    return Fail(
        Error(ErrorCode::kMalformed, fmt::format("{} names no token of the vocabulary", key))
            .Expected(fmt::format("below {}", vocab.size()))
            .Found(std::to_string(*id)));
  }
  return static_cast<TokenId>(*id);
}

Result<bool> ReadFlag(const GgufHeader& header, std::string_view key, bool fallback) {
  const GgufValue* value = header.Find(key);
  if (value == nullptr) return fallback;
  const auto flag = value->AsBool();
  if (!flag) {
    return Fail(ErrorCode::kMalformed, fmt::format("The metadata key {} is not a boolean", key));
  }
  return *flag;
}

// Phi-3's own tokenizer drops white space after its added tokens, which GGUF has no field for.
bool StripsAfterSpecial(const GgufHeader& header) {
  const GgufValue* architecture = header.Find("general.architecture");
  return architecture != nullptr && architecture->AsString() == "phi3";
}

// In the o200k_harmony vocabulary <|end|> ends a message, not the answer: <|return|> and <|call|>
// do. Solar's has <|flush|> and <|calls|> in their place.
bool EndIsOnlyAMessage(const std::vector<std::string_view>& texts) {
  const auto has = [&](std::string_view text) {
    return std::find(texts.begin(), texts.end(), text) != texts.end();
  };
  return (has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"));
}

// Finds the well-known end texts, makes control tokens of them, and returns their ids.
std::vector<TokenId> FindEndTexts(TokenVocab& vocab) {
  std::vector<TokenId> ids;
  std::vector<std::string_view> texts;
  for (TokenId id = 0; vocab.Contains(id); ++id) {
    const std::string_view text = vocab.bytes(id);
    if (text.empty() || (text[0] != '<' && text[0] != '[' && text[0] != '_')) continue;
    if (!std::binary_search(kEndTexts.begin(), kEndTexts.end(), text)) continue;
    ids.push_back(id);
    texts.push_back(text);
  }
  if (EndIsOnlyAMessage(texts)) {
    std::erase_if(ids, [&](TokenId id) { return vocab.bytes(id) == "<|end|>"; });
  }
  for (const TokenId id : ids) vocab.SetType(id, TokenType::kControl);
  return ids;
}

}  // namespace

TokenizerRules DefaultRules(VocabForm form, bool add_bos) {
  TokenizerRules rules;
  rules.add_bos = add_bos;
  if (form == VocabForm::kByteLevel) return rules;
  rules.unknown = 0;
  rules.bos = 1;
  rules.eos = 2;
  rules.add_bos = true;
  rules.add_space_prefix = true;
  return rules;
}

Result<TokenizerRules> ReadTokenizerRules(const GgufHeader& header, const TokenizerRules& defaults,
                                          TokenVocab& vocab) {
  TokenizerRules rules = defaults;
  GS_ASSIGN(rules.bos, ReadTokenId(header, "tokenizer.ggml.bos_token_id", defaults.bos, vocab));
  GS_ASSIGN(rules.eos, ReadTokenId(header, "tokenizer.ggml.eos_token_id", defaults.eos, vocab));
  GS_ASSIGN(rules.unknown,
            ReadTokenId(header, "tokenizer.ggml.unknown_token_id", defaults.unknown, vocab));
  GS_ASSIGN(const TokenId eot, ReadTokenId(header, "tokenizer.ggml.eot_token_id", kNoToken, vocab));
  GS_ASSIGN(const TokenId eom, ReadTokenId(header, "tokenizer.ggml.eom_token_id", kNoToken, vocab));
  GS_ASSIGN(rules.add_bos, ReadFlag(header, "tokenizer.ggml.add_bos_token", defaults.add_bos));
  GS_ASSIGN(rules.add_eos, ReadFlag(header, "tokenizer.ggml.add_eos_token", defaults.add_eos));
  GS_ASSIGN(rules.add_space_prefix,
            ReadFlag(header, "tokenizer.ggml.add_space_prefix", defaults.add_space_prefix));
  rules.add_bos = rules.add_bos && rules.bos != kNoToken;
  rules.add_eos = rules.add_eos && rules.eos != kNoToken;
  rules.strips_after_special = StripsAfterSpecial(header);

  std::vector<TokenId>& ends = rules.end_of_generation;
  ends = FindEndTexts(vocab);
  for (const TokenId id : {rules.eos, eot, eom}) {
    if (id != kNoToken) ends.push_back(id);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return rules;
}

}  // namespace gguf_shard
