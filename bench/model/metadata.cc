#include "bench/model/metadata.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/file.h"
#include "core/gguf.h"

namespace gguf_shard {
namespace {

void AddMadeVocabulary(uint32_t count, GgufWriter& writer) {
  constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(kByte);
  }
  while (tokens.size() < count) {
    tokens.push_back(fmt::format("\u2581w{}", tokens.size()));
    types.push_back(kNormal);
  }
  std::vector<float> scores(tokens.size(), 0.0f);
  for (size_t i = 259; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  writer.AddString("tokenizer.ggml.model", "llama");
  writer.AddStrings("tokenizer.ggml.tokens", tokens);
  writer.AddFloats("tokenizer.ggml.scores", scores);
  writer.AddInt32s("tokenizer.ggml.token_type", types);
  writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
  writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
  writer.AddUint32("tokenizer.ggml.unknown_token_id", 0);
}

// Copies the tokenizer of another GGUF; the shape takes its vocabulary's size.
Result<void> AddCopiedVocabulary(const GgufHeader& header, Request& request, GgufWriter& writer) {
  GS_ASSIGN(const GgufArray tokens, header.GetArray("tokenizer.ggml.tokens"));
  request.shape.vocabulary = static_cast<uint32_t>(tokens.count);
  for (const auto& [key, value] : header.metadata) {
    if (key.starts_with("tokenizer.")) writer.AddValue(key, value);
  }
  return {};
}

void AddShape(const Request& request, GgufWriter& writer) {
  const ModelShape& shape = request.shape;
  const auto key = [&](const char* name) { return fmt::format("{}.{}", shape.architecture, name); };
  writer.AddString("general.architecture", std::string(shape.architecture));
  writer.AddString("general.name", fmt::format("random {}", shape.name));
  writer.AddUint32(key("block_count"), shape.layers);
  writer.AddUint32(key("context_length"), shape.context);
  writer.AddUint32(key("embedding_length"), shape.width);
  writer.AddUint32(key("feed_forward_length"), shape.feed_forward);
  writer.AddUint32(key("attention.head_count"), shape.heads);
  writer.AddUint32(key("attention.head_count_kv"), shape.kv_heads);
  if (shape.head_width > 0) {
    writer.AddUint32(key("attention.key_length"), shape.head_width);
    writer.AddUint32(key("attention.value_length"), shape.head_width);
  }
  writer.AddUint32(key("rope.dimension_count"), shape.head());
  writer.AddFloat32(key("rope.freq_base"), shape.rope_base);
  writer.AddFloat32(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  if (shape.experts == 0) return;
  writer.AddUint32(key("expert_count"), shape.experts);
  writer.AddUint32(key("expert_used_count"), shape.experts_used);
  writer.AddUint32(key("expert_feed_forward_length"), shape.feed_forward);
}

}  // namespace

Result<void> AddModelMetadata(Request& request, GgufWriter& writer) {
  AddShape(request, writer);
  if (request.vocabulary_file.empty()) {
    AddMadeVocabulary(request.shape.vocabulary, writer);
  } else {
    GS_ASSIGN(const File file, File::OpenRead(request.vocabulary_file));
    GS_ASSIGN(const GgufHeader header, ReadGgufHeader(file));
    GS_TRY(AddCopiedVocabulary(header, request, writer));
  }
  writer.AddUint32(fmt::format("{}.vocab_size", request.shape.architecture),
                   request.shape.vocabulary);
  return {};
}

}  // namespace gguf_shard
