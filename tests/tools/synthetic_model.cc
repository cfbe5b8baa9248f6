#include "tests/tools/synthetic_model.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "core/bytes.h"
#include "core/file.h"
#include "core/gguf_writer.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kByteTokens = 256;
constexpr uint32_t kSpecialTokens = 3;
constexpr uint32_t kLetterTokens = 61;
constexpr uint32_t kVocabSize = kSpecialTokens + kByteTokens + kLetterTokens;
constexpr uint32_t kContextLength = 256;
constexpr uint32_t kSequenceTokens = 48;

// SplitMix64: the same numbers everywhere, unlike the standard library's distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    return mixed ^ (mixed >> 31);
  }
  // From -1 to 1, in steps that floats hold exactly.
  float Uniform() {
    return static_cast<float>(static_cast<int64_t>(Next() >> 40) - (1 << 23)) / (1 << 23);
  }

 private:
  uint64_t state_;
};

struct TensorData {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

class ModelBuilder {
 public:
  explicit ModelBuilder(const SyntheticModel& model) : model_(model) {}

  std::vector<std::byte> Build() {
    AddTensors();
    GgufWriter writer;
    AddHyperparameters(writer);
    AddVocabulary(writer);
    uint64_t offset = 0;
    for (const TensorData& tensor : tensors_) {
      writer.AddTensor(tensor.name, TensorType::kF32, tensor.shape, offset);
      offset = AlignUp(offset + tensor.values.size() * sizeof(float), kDefaultGgufAlignment);
    }
    std::vector<std::byte> gguf = writer.Serialize();
    size_t at = gguf.size();
    gguf.resize(at + offset);
    for (const TensorData& tensor : tensors_) {
      const size_t bytes = tensor.values.size() * sizeof(float);
      std::memcpy(gguf.data() + at, tensor.values.data(), bytes);
      at += AlignUp(bytes, kDefaultGgufAlignment);
    }
    return gguf;
  }

 private:
  uint32_t head_length() const {
    return model_.head_length > 0 ? model_.head_length : model_.width / model_.heads;
  }

  // Weights that keep a unit vector's size, times `gain`. Seeded by name, so that the order of
  // tensors does not matter.
  std::vector<float> RandomValues(const std::string& name, uint64_t count, float middle,
                                  float reach) const {
    uint64_t seed = model_.seed;
    for (const char letter : name) seed = seed * 0x100000001B3 + static_cast<uint8_t>(letter);
    Random random(seed);
    std::vector<float> values(count);
    for (float& value : values) value = middle + reach * random.Uniform();
    return values;
  }

  void AddMatrix(const std::string& name, uint64_t columns, uint64_t rows, float gain) {
    const float reach = gain * std::sqrt(3.0f / static_cast<float>(columns));
    tensors_.push_back({name, {columns, rows}, RandomValues(name, columns * rows, 0, reach)});
  }
  void AddVector(const std::string& name, uint64_t count, float middle, float reach) {
    tensors_.push_back({name, {count}, RandomValues(name, count, middle, reach)});
  }

  void AddTensors() {
    AddMatrix("token_embd.weight", model_.width, kVocabSize, 8.0f);
    if (model_.rope_factors) AddVector("rope_freqs.weight", head_length() / 2, 4.5f, 3.5f);
    for (uint32_t layer = 0; layer < model_.layers; ++layer) {
      const std::string prefix = fmt::format("blk.{}.", layer);
      AddAttention(prefix);
      AddVector(prefix + "ffn_norm.weight", model_.width, 1.0f, 0.3f);
      if (model_.experts > 0) {
        AddExperts(prefix);
      } else {
        AddFeedForward(prefix);
      }
    }
    AddVector("output_norm.weight", model_.width, 1.0f, 0.3f);
    if (!model_.tied) AddMatrix("output.weight", model_.width, kVocabSize, 3.0f);
  }

  void AddAttention(const std::string& prefix) {
    const uint64_t queries = uint64_t{model_.heads} * head_length();
    const uint64_t keys = uint64_t{model_.heads_kv} * head_length();
    AddVector(prefix + "attn_norm.weight", model_.width, 1.0f, 0.3f);
    AddMatrix(prefix + "attn_q.weight", model_.width, queries, 1.6f);
    AddMatrix(prefix + "attn_k.weight", model_.width, keys, 1.6f);
    AddMatrix(prefix + "attn_v.weight", model_.width, keys, 1.0f);
    AddMatrix(prefix + "attn_output.weight", queries, model_.width, 1.0f);
    if (model_.projection_biases) {
      AddVector(prefix + "attn_q.bias", queries, 0, 0.7f);
      AddVector(prefix + "attn_k.bias", keys, 0, 0.7f);
      AddVector(prefix + "attn_v.bias", keys, 0, 0.7f);
    }
    if (model_.output_bias) AddVector(prefix + "attn_output.bias", model_.width, 0, 0.7f);
    if (model_.head_norms) {
      AddVector(prefix + "attn_q_norm.weight", head_length(), 1.2f, 0.6f);
      AddVector(prefix + "attn_k_norm.weight", head_length(), 1.2f, 0.6f);
    }
  }

  void AddFeedForward(const std::string& prefix) {
    AddMatrix(prefix + "ffn_gate.weight", model_.width, model_.feed_forward, 1.5f);
    AddMatrix(prefix + "ffn_up.weight", model_.width, model_.feed_forward, 1.5f);
    AddMatrix(prefix + "ffn_down.weight", model_.feed_forward, model_.width, 1.5f);
  }

  void AddExperts(const std::string& prefix) {
    const uint32_t inner = model_.expert_feed_forward;
    AddMatrix(prefix + "ffn_gate_inp.weight", model_.width, model_.experts, 1.5f);
    AddExpertMatrices(prefix + "ffn_gate", model_.width, inner);
    AddExpertMatrices(prefix + "ffn_up", model_.width, inner);
    AddExpertMatrices(prefix + "ffn_down", inner, model_.width);
  }

  void AddExpertMatrices(const std::string& prefix, uint64_t columns, uint64_t rows) {
    const float reach = 1.5f * std::sqrt(3.0f / static_cast<float>(columns));
    const std::vector<float> all = RandomValues(prefix, columns * rows * model_.experts, 0, reach);
    if (!model_.one_tensor_per_expert) {
      tensors_.push_back({prefix + "_exps.weight", {columns, rows, model_.experts}, all});
      return;
    }
    for (uint32_t expert = 0; expert < model_.experts; ++expert) {
      const auto first = all.begin() + static_cast<ptrdiff_t>(expert * columns * rows);
      tensors_.push_back({fmt::format("{}.{}.weight", prefix, expert),
                          {columns, rows},
                          {first, first + static_cast<ptrdiff_t>(columns * rows)}});
    }
  }

  void AddHyperparameters(GgufWriter& writer) const {
    const auto key = [&](std::string_view name) {
      return fmt::format("{}.{}", model_.architecture, name);
    };
    writer.AddString("general.architecture", model_.architecture);
    writer.AddString("general.name", model_.name);
    writer.AddUint32(key("context_length"), kContextLength);
    writer.AddUint32(key("embedding_length"), model_.width);
    writer.AddUint32(key("block_count"), model_.layers);
    writer.AddUint32(key("feed_forward_length"), model_.feed_forward);
    writer.AddUint32(key("attention.head_count"), model_.heads);
    writer.AddUint32(key("attention.head_count_kv"), model_.heads_kv);
    writer.AddFloat32(key("attention.layer_norm_rms_epsilon"), 3e-5f);
    writer.AddFloat32(key("rope.freq_base"), model_.rope_base);
    if (model_.head_length > 0) {
      writer.AddUint32(key("attention.key_length"), model_.head_length);
      writer.AddUint32(key("attention.value_length"), model_.head_length);
      writer.AddUint32(key("rope.dimension_count"), model_.head_length);
    }
    if (!model_.rope_scaling.empty()) {
      writer.AddString(key("rope.scaling.type"), model_.rope_scaling);
      writer.AddFloat32(key("rope.scaling.factor"), model_.rope_factor);
    }
    if (model_.original_context > 0) {
      writer.AddUint32(key("rope.scaling.original_context_length"), model_.original_context);
    }
    if (model_.experts > 0) {
      writer.AddUint32(key("expert_count"), model_.experts);
      writer.AddUint32(key("expert_used_count"), model_.experts_used);
      writer.AddUint32(key("expert_feed_forward_length"), model_.expert_feed_forward);
    }
  }

  static void AddVocabulary(GgufWriter& writer) {
    constexpr int32_t kNormal = 1;
    constexpr int32_t kUnknown = 2;
    constexpr int32_t kControl = 3;
    constexpr int32_t kByte = 6;
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {kUnknown, kControl, kControl};
    for (uint32_t byte = 0; byte < kByteTokens; ++byte) {
      tokens.push_back(fmt::format("<0x{:02X}>", byte));
      types.push_back(kByte);
    }
    // Printable characters in the order of ASCII, from A on.
    for (uint32_t index = 0; index < kLetterTokens; ++index) {
      tokens.push_back(std::string(1, static_cast<char>('A' + index)));
      types.push_back(kNormal);
    }
    std::vector<float> scores(tokens.size());
    for (size_t index = 0; index < scores.size(); ++index) scores[index] = -float(index);
    writer.AddString("tokenizer.ggml.model", "llama");
    writer.AddStrings("tokenizer.ggml.tokens", tokens);
    writer.AddFloats("tokenizer.ggml.scores", scores);
    writer.AddInt32s("tokenizer.ggml.token_type", types);
    writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
    writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
    writer.AddUint32("tokenizer.ggml.unknown_token_id", 0);
    writer.AddBool("tokenizer.ggml.add_bos_token", true);
  }

  const SyntheticModel& model_;
  std::vector<TensorData> tensors_;
};

const std::vector<SyntheticModel>& AllModels() {
  static const std::vector<SyntheticModel> models = {
      {.name = "llama-plain", .seed = 11, .heads_kv = 4},
      {.name = "llama-head-length",
       .seed = 12,
       .head_length = 24,
       .rope_base = 500000,
       .tied = true},
      {.name = "llama-rope-factors",
       .seed = 13,
       .head_length = 32,
       .rope_base = 500000,
       .rope_factors = true},
      {.name = "llama-rope-linear", .seed = 14, .rope_scaling = "linear", .rope_factor = 4},
      {.name = "llama-rope-yarn",
       .seed = 15,
       .rope_scaling = "yarn",
       .rope_factor = 4,
       .original_context = 64},
      {.name = "llama-biases", .seed = 16, .projection_biases = true, .output_bias = true},
      {.name = "llama-experts",
       .seed = 17,
       .feed_forward = 80,
       .experts = 6,
       .experts_used = 2,
       .expert_feed_forward = 80},
      {.name = "mistral-like",
       .seed = 18,
       .width = 96,
       .layers = 3,
       .heads = 8,
       .heads_kv = 2,
       .head_length = 16,
       .feed_forward = 200,
       .rope_base = 1000000},
      {.name = "qwen2",
       .architecture = "qwen2",
       .seed = 19,
       .rope_base = 1000000,
       .projection_biases = true,
       .tied = true},
      {.name = "qwen2-yarn",
       .architecture = "qwen2",
       .seed = 20,
       .rope_scaling = "yarn",
       .rope_factor = 4,
       .original_context = 32,
       .projection_biases = true},
      {.name = "qwen3",
       .architecture = "qwen3",
       .seed = 21,
       .head_length = 32,
       .rope_base = 1000000,
       .head_norms = true},
      {.name = "qwen3moe",
       .architecture = "qwen3moe",
       .seed = 22,
       .head_length = 32,
       .experts = 8,
       .experts_used = 3,
       .expert_feed_forward = 48,
       .rope_base = 1000000,
       .head_norms = true},
  };
  return models;
}

}  // namespace

std::span<const SyntheticModel> SyntheticModels() { return AllModels(); }

std::vector<std::byte> BuildSyntheticGguf(const SyntheticModel& model) {
  return ModelBuilder(model).Build();
}

Result<void> WriteSyntheticGguf(const SyntheticModel& model, const std::filesystem::path& path) {
  return WriteWholeFile(path, AsText(BuildSyntheticGguf(model)), Overwrite::kAllow);
}

std::vector<int32_t> SyntheticTokens() {
  Random random(7);
  std::vector<int32_t> tokens = {1};
  while (tokens.size() < kSequenceTokens) {
    tokens.push_back(
        static_cast<int32_t>(kSpecialTokens + random.Next() % (kVocabSize - kSpecialTokens)));
  }
  return tokens;
}

}  // namespace gguf_shard
