#include "runtime/spm_tokenizer.h"

#include <optional>
#include <string>
#include <utility>

#include "runtime/utf8.h"

namespace gguf_shard {
namespace {

// The text as the vocabulary spells it: spaces for space marks, and the prefix.
std::string Normalize(std::string_view text, bool add_space) {
  std::string normal;
  normal.reserve(text.size() + 1);
  if (add_space) normal.push_back(' ');
  AppendMarksAsSpaces(text, normal);
  return normal;
}

// Where the first word ends: at a space that follows something else.
size_t WordBytes(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == ' ' && text[i - 1] != ' ') return i;
  }
  return text.size();
}

bool HasInnerSpace(const TokenVocab& vocab) {
  for (TokenId id = 0; vocab.Contains(id); ++id) {
    const std::string_view text = vocab.bytes(id);
    const bool is_text =
        vocab.type(id) == TokenType::kNormal || vocab.type(id) == TokenType::kUnused;
    if (is_text && WordBytes(text) != text.size()) return true;
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> SpmTokenizer::Create(const GgufHeader& header) {
  GS_ASSIGN(TokenVocab vocab, TokenVocab::Read(header, VocabForm::kSentencePiece));
  GS_ASSIGN(TokenizerRules rules,
            ReadTokenizerRules(header, DefaultRules(VocabForm::kSentencePiece, true), vocab));
  return std::unique_ptr<Tokenizer>(new SpmTokenizer(std::move(vocab), std::move(rules)));
}

SpmTokenizer::SpmTokenizer(TokenVocab vocab, TokenizerRules rules)
    : TokenizerBase(std::move(vocab), std::move(rules)),
      words_are_independent_(!HasInnerSpace(this->vocab())) {}

Result<void> SpmTokenizer::EncodeText(std::string_view text, bool after_special,
                                      std::vector<TokenId>& ids) const {
  const std::string normal = Normalize(text, after_special && rules().add_space_prefix);
  SymbolMerger merger;
  std::string_view rest = normal;
  while (!rest.empty()) {
    const size_t byte_size = words_are_independent_ ? WordBytes(rest) : rest.size();
    EncodeStretch(rest.substr(0, byte_size), merger, ids);
    rest.remove_prefix(byte_size);
  }
  return {};
}

void SpmTokenizer::EncodeStretch(std::string_view stretch, SymbolMerger& merger,
                                 std::vector<TokenId>& ids) const {
  merger.Clear();
  for (std::string_view rest = stretch; !rest.empty();) {
    const uint32_t byte_size = NextUtf8(rest).byte_size;
    merger.Add(byte_size, vocab().FindText(rest.substr(0, byte_size)));
    rest.remove_prefix(byte_size);
  }
  merger.Run([&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<Merge> {
    const uint32_t byte_size = left.byte_size + right.byte_size;
    const TokenId id = vocab().FindText(stretch.substr(left.offset, byte_size));
    if (id == kNoToken) return std::nullopt;
    return Merge{-double{vocab().score(id)}, id};
  });
  merger.ForEach([&](const MergeSymbol& symbol) {
    if (symbol.id != kNoToken) {
      ids.push_back(symbol.id);
    } else {
      AppendBytes(stretch.substr(symbol.offset, symbol.byte_size), ids);
    }
  });
}

void SpmTokenizer::AppendBytes(std::string_view bytes, std::vector<TokenId>& ids) const {
  for (const char byte : bytes) {
    const TokenId id = vocab().byte_token(static_cast<uint8_t>(byte));
    if (id != kNoToken) {
      ids.push_back(id);
    } else if (rules().unknown != kNoToken && (ids.empty() || ids.back() != rules().unknown)) {
      ids.push_back(rules().unknown);
    }
  }
}

}  // namespace gguf_shard
