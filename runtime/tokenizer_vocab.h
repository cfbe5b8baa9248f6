// The tokens of a vocabulary: the bytes each stands for, its type and score, found by bytes.
//
// All bytes lie in one string, in order of id. What is stored is what a token means, not how the
// file spells it: SentencePiece's U+2581 is a space, the byte-level alphabet is decoded, <0x41> is
// one byte. Control and user-defined tokens keep their text. So encoding needs no escaping, and
// decoding is a copy.
//
// Invariants: ids are 0 .. size()-1; size() is at least 1 and fits a TokenId.
// Thread-safety: immutable after reading, but for SetType, which belongs to the reader.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/gguf.h"
#include "runtime/tokenizer.h"
#include "runtime/tokenizer_index.h"

namespace gguf_shard {

inline constexpr TokenId kNoToken = -1;

// As in tokenizer.ggml.token_type; a value it does not define becomes kUnused.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// Appends the text with every space mark of SentencePiece (U+2581) as the space it stands for.
void AppendMarksAsSpaces(std::string_view text, std::string& bytes);

enum class VocabForm : uint8_t { kSentencePiece, kByteLevel };

class TokenVocab {
 public:
  static Result<TokenVocab> Read(const GgufHeader& header, VocabForm form);

  size_t size() const { return types_.size(); }
  bool Contains(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < size(); }

  // Of a token in the vocabulary.
  std::string_view bytes(TokenId id) const {
    return std::string_view(arena_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }
  TokenType type(TokenId id) const { return types_[id]; }
  // Higher merges first; never NaN. 0 in a vocabulary without scores.
  float score(TokenId id) const { return scores_.empty() ? 0.0F : scores_[id]; }
  void SetType(TokenId id, TokenType type) { types_[id] = type; }

  // The token that text may become: normal and unused ones only, as SentencePiece and BPE trainers
  // have it; the lowest id of several that mean the same. kNoToken when there is none.
  TokenId FindText(std::string_view bytes) const;
  // The <0xXX> token of a byte, or kNoToken.
  TokenId byte_token(uint8_t byte) const { return byte_tokens_[byte]; }

  size_t memory_bytes() const;

 private:
  TokenVocab() { byte_tokens_.fill(kNoToken); }
  Result<void> ReadTypes(const GgufHeader& header, size_t token_count);
  Result<void> ReadScores(const GgufHeader& header, size_t token_count);
  void StoreTokens(const std::vector<std::string_view>& texts, VocabForm form, bool typed);
  void StoreToken(std::string_view text, VocabForm form, bool typed);
  void IndexTexts();

  std::string arena_;
  std::vector<uint32_t> offsets_;  // size() + 1
  std::vector<TokenType> types_;
  std::vector<float> scores_;  // empty, or size()
  std::array<TokenId, 256> byte_tokens_;
  PositionIndex text_index_;
};

}  // namespace gguf_shard
