// What the runtime reads from a model's metadata: hyperparameters and tokenizer. The tokenizer must
// take any text; here the bytes behind the header.
#include <algorithm>
#include <span>

#include "core/bytes.h"
#include "core/gguf.h"
#include "runtime/hyperparameters.h"
#include "runtime/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

constexpr size_t kMaxTextBytes = 512;

void CheckHyperparameters(const GgufHeader& header) {
  const auto numbers = ReadHyperparameters(header);
  if (!numbers) return;
  GS_FUZZ_EXPECT(numbers->head_count_kv > 0 && numbers->heads_per_group() > 0);
  GS_FUZZ_EXPECT(numbers->expert_used_count <= numbers->expert_count);
}

void CheckEncoding(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options) {
  const auto ids = tokenizer.Encode(text, options);
  if (!ids) return;
  for (const TokenId id : *ids) {
    GS_FUZZ_EXPECT(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size());
    static_cast<void>(tokenizer.TokenBytes(id, true));
    static_cast<void>(tokenizer.IsEndOfGeneration(id));
  }
  Utf8Stream stream;
  static_cast<void>(stream.Push(tokenizer.Decode(*ids, options.parse_special)) + stream.Finish());
}

void CheckTokenizer(const GgufHeader& header, std::string_view text) {
  const auto tokenizer = Tokenizer::Create(header);
  if (!tokenizer) return;
  const auto vocab_size = static_cast<TokenId>((*tokenizer)->vocab_size());
  GS_FUZZ_EXPECT((*tokenizer)->bos() >= -1 && (*tokenizer)->bos() < vocab_size);
  GS_FUZZ_EXPECT((*tokenizer)->eos() >= -1 && (*tokenizer)->eos() < vocab_size);
  CheckEncoding(**tokenizer, text, {.add_bos = true, .parse_special = true});
  CheckEncoding(**tokenizer, text, {.add_bos = false, .parse_special = false});
  for (const TokenId id : {-1, vocab_size}) {
    GS_FUZZ_EXPECT((*tokenizer)->TokenBytes(id, true).empty());
  }
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  using namespace gguf_shard;
  const auto bytes = std::as_bytes(std::span(data, size_bytes));
  const auto header = ParseGgufHeader(bytes, size_bytes);
  if (!header) return 0;
  CheckHyperparameters(*header);
  const auto text = bytes.subspan(header->data_offset);
  CheckTokenizer(*header, AsText(text.first(std::min(text.size(), kMaxTextBytes))));
  return 0;
}
