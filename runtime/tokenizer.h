// Text to token ids and back, from a GGUF's metadata (tokenizer.ggml.*).
//
// Models: "llama" (SentencePiece BPE: merges by score, byte fallback, space prefix) and "gpt2"
// (byte-level BPE: ranked merges, the pre-tokenizer named by tokenizer.ggml.pre). Another model or
// pre-tokenizer is an error that names it. Immutable after creation; thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/gguf.h"

namespace gguf_shard {

using TokenId = int32_t;

struct EncodeOptions {
  bool add_bos = true;        // add BOS (and EOS) where the metadata's rules say so
  bool parse_special = true;  // recognise control and user-defined tokens written in the text
};

class Tokenizer {
 public:
  // Copies what it needs: the header may be dropped afterwards.
  static Result<std::unique_ptr<Tokenizer>> Create(const GgufHeader& header);
  virtual ~Tokenizer() = default;

  // Any byte string is accepted; invalid UTF-8 is tokenized by bytes where the model can.
  virtual Result<std::vector<TokenId>> Encode(std::string_view text,
                                              const EncodeOptions& options) const = 0;
  // The bytes one token stands for (may be part of a UTF-8 character); empty for control tokens
  // unless `render_special`. Ids out of range give nothing.
  virtual std::string TokenBytes(TokenId id, bool render_special) const = 0;
  // The bytes of a sequence, as they are (show them through a Utf8Stream). One that begins with BOS
  // is a whole text: the BOS is dropped and, for "llama", the space that its prefix rule added. One
  // without is the continuation of another text and keeps its first space.
  virtual std::string Decode(std::span<const TokenId> ids, bool render_special) const = 0;

  virtual size_t vocab_size() const = 0;
  virtual TokenId bos() const = 0;  // -1 when there is none
  virtual TokenId eos() const = 0;
  // EOS, EOT and whatever else ends a generation.
  virtual bool IsEndOfGeneration(TokenId id) const = 0;
  // What the tokenizer holds in memory; the memory budget counts it.
  virtual size_t memory_bytes() const = 0;
};

// Collects token bytes and hands out only whole UTF-8 characters; invalid bytes become U+FFFD.
class Utf8Stream {
 public:
  // The characters completed by these bytes.
  std::string Push(std::string_view bytes);
  // What is left at the end: each incomplete sequence as U+FFFD.
  std::string Finish();

 private:
  std::string pending_;
};

}  // namespace gguf_shard
