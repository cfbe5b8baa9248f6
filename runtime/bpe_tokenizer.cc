#include "runtime/bpe_tokenizer.h"

#include <fmt/core.h>

#include <string>
#include <utility>

#include "runtime/pretokenizer_patterns.h"
#include "runtime/utf8.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kKeyPre = "tokenizer.ggml.pre";

Result<const PreTokenizerSpec*> ReadPreTokenizer(const GgufHeader& header) {
  std::string_view name = kDefaultPreTokenizer;
  if (header.Find(kKeyPre) != nullptr) {
    GS_ASSIGN(name, header.GetString(kKeyPre));
  }
  const PreTokenizerSpec* spec = FindPreTokenizer(name);
  if (spec == nullptr) {
    return Fail(Error(ErrorCode::kUnsupported,
                      fmt::format("The pre-tokenizer \"{}\" is not supported", name))
                    .Found(std::string(name)));
  }
  return spec;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::Create(const GgufHeader& header) {
  GS_ASSIGN(const PreTokenizerSpec* spec, ReadPreTokenizer(header));
  GS_ASSIGN(PreTokenizer pre_tokenizer, PreTokenizer::Create(spec->patterns));
  GS_ASSIGN(TokenVocab vocab, TokenVocab::Read(header, VocabForm::kByteLevel));
  GS_ASSIGN(BpeMerges merges, BpeMerges::Read(header, vocab));
  GS_ASSIGN(TokenizerRules rules,
            ReadTokenizerRules(header, DefaultRules(VocabForm::kByteLevel, spec->adds_bos), vocab));
  return std::unique_ptr<Tokenizer>(new BpeTokenizer(std::move(vocab), std::move(rules),
                                                     std::move(merges), std::move(pre_tokenizer),
                                                     spec->ignores_merges));
}

BpeTokenizer::BpeTokenizer(TokenVocab vocab, TokenizerRules rules, BpeMerges merges,
                           PreTokenizer pre_tokenizer, bool ignore_merges)
    : TokenizerBase(std::move(vocab), std::move(rules)),
      merges_(std::move(merges)),
      pre_tokenizer_(std::move(pre_tokenizer)),
      ignore_merges_(ignore_merges) {
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const char text = static_cast<char>(byte);
    const TokenId id = this->vocab().FindText(std::string_view(&text, 1));
    byte_ids_[byte] = id != kNoToken ? id : this->vocab().byte_token(static_cast<uint8_t>(byte));
  }
}

Result<void> BpeTokenizer::EncodeText(std::string_view text, bool /*after_special*/,
                                      std::vector<TokenId>& ids) const {
  SymbolMerger merger;
  while (!text.empty()) {
    const std::string_view valid = text.substr(0, Utf8ValidPrefixBytes(text));
    GS_TRY(pre_tokenizer_.Split(valid,
                                [&](std::string_view piece) { EncodePiece(piece, merger, ids); }));
    text.remove_prefix(valid.size());
    const std::string_view invalid = text.substr(0, Utf8InvalidPrefixBytes(text));
    if (!invalid.empty()) EncodePiece(invalid, merger, ids);
    text.remove_prefix(invalid.size());
  }
  return {};
}

void BpeTokenizer::EncodePiece(std::string_view piece, SymbolMerger& merger,
                               std::vector<TokenId>& ids) const {
  if (ignore_merges_) {
    const TokenId whole = vocab().FindText(piece);
    if (whole != kNoToken) {
      ids.push_back(whole);
      return;
    }
  }
  merger.Clear();
  for (const char byte : piece) merger.Add(1, byte_ids_[static_cast<uint8_t>(byte)]);
  merger.Run([&](const MergeSymbol& left, const MergeSymbol& right) {
    return merges_.Find(left.id, right.id);
  });
  merger.ForEach([&](const MergeSymbol& symbol) {
    const TokenId id = symbol.id != kNoToken ? symbol.id : rules().unknown;
    if (id != kNoToken) ids.push_back(id);
  });
}

size_t BpeTokenizer::memory_bytes() const {
  return TokenizerBase::memory_bytes() + merges_.memory_bytes() + pre_tokenizer_.memory_bytes() +
         sizeof(*this);
}

}  // namespace gguf_shard
