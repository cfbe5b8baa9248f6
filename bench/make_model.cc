// Makes a GGUF of a real model's shape with random weights: for benchmarks and for runs under a
// memory budget, where only sizes, types and finite values matter.
//
//   make_model tinyllama-1.1b OUT.gguf [--vocab FILE.gguf] [--quantization Q4_K_M|Q8_0|F16]
//                                      [--layers N] [--seed N]
//
// Weights of a matrix are uniform with mean 0 and standard deviation 0.6 / sqrt(columns), norms are
// 1: activations stay finite. The tokenizer is copied from --vocab, or made: the 256 bytes and
// filler words, SentencePiece style.
//
// qwen3-moe is a mixture of experts (8 of 128 in each layer, the widths of Qwen3-30B-A3B, fewer
// layers: 4.3 GB). Random weights would route evenly and without memory, which no trained model
// does, so its routing is made: every word belongs to one of 64 topics of unequal size; an
// embedding is its topic's direction plus its own (shares kTopicShare and the rest of the
// variance); the output prefers words of the topic that the text is about, so a text stays with a
// topic for a while, as texts do; a router's row is a random direction whose length varies from
// expert to expert (kRouterSpread), so some experts are chosen more often. What comes out is
// measured with `gguf-shard run --trace` and `simulate`, not set.
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/file.h"
#include "core/gguf.h"
#include "core/gguf_writer.h"

namespace gguf_shard {
namespace {

struct ModelShape {
  std::string_view name;
  std::string_view architecture;
  uint32_t layers, width, feed_forward, heads, kv_heads, vocabulary, context;
  float rope_base;
  uint32_t experts = 0, experts_used = 0, head_width = 0;  // head_width 0: width / heads
  uint32_t head() const { return head_width > 0 ? head_width : width / heads; }
};
constexpr ModelShape kShapes[] = {
    {"tinyllama-1.1b", "llama", 22, 2048, 5632, 32, 4, 32000, 2048, 10000.0f},
    {"llama-3.1-8b", "llama", 32, 4096, 14336, 32, 8, 128256, 8192, 500000.0f},
    {"qwen3-moe", "qwen3moe", 12, 2048, 768, 32, 4, 32000, 8192, 1000000.0f, 128, 8, 128},
};

struct Request {
  ModelShape shape;
  std::string output;
  std::string vocabulary_file;
  std::string quantization = "Q4_K_M";
  uint64_t seed = 1;
};

// Values that are made rather than drawn.
enum class Made : uint8_t { kNo, kEmbedding, kOutput, kRouter };

struct PlannedTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;
  uint64_t offset = 0;
  uint64_t byte_size = 0;
  Made made = Made::kNo;
};

// splitmix64: fast, and the same everywhere.
class RandomBytes {
 public:
  explicit RandomBytes(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  void Fill(std::byte* target, size_t bytes) {
    for (; bytes >= 8; bytes -= 8, target += 8) StoreLe(target, Next());
    const uint64_t last = Next();
    std::memcpy(target, &last, bytes);
  }

 private:
  uint64_t state_;
};

// f16 bits of a positive normal number; enough for scales.
uint16_t PositiveF16(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // [0.5, 1)
  const int biased = std::clamp(exponent + 14, 1, 30);
  return static_cast<uint16_t>(biased << 10 | static_cast<int>((fraction * 2 - 1) * 1024));
}

// Fills blocks with weights of standard deviation `sigma`.
void FillQ4K(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  // w = d * 32 * q - dmin * 32 with q uniform in 0..15 (deviation 4.61, mean 7.5).
  const uint16_t d = PositiveF16(sigma / (32 * 4.61));
  const uint16_t dmin = PositiveF16(7.5 * sigma / (32 * 4.61));
  for (size_t i = 0; i < blocks.size(); i += 144) {
    std::byte* block = blocks.data() + i;
    StoreLe(block, d);
    StoreLe(block + 2, dmin);
    // Eight 6-bit scales and minima, all 32: low bits in bytes 0..7, the rest in 8..11.
    std::memset(block + 4, 0x20 | 0x80, 8);
    std::memset(block + 12, 0, 4);
    random.Fill(block + 16, 128);
  }
}

void FillQ6K(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  // w = d * 32 * (q - 32) with q uniform in 0..63 (deviation 18.5).
  const uint16_t d = PositiveF16(sigma / (32 * 18.5));
  for (size_t i = 0; i < blocks.size(); i += 210) {
    std::byte* block = blocks.data() + i;
    random.Fill(block, 192);
    std::memset(block + 192, 32, 16);
    StoreLe(block + 208, d);
  }
}

void FillQ80(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  const uint16_t d = PositiveF16(sigma / 73.9);  // q uniform in -128..127
  for (size_t i = 0; i < blocks.size(); i += 34) {
    StoreLe(blocks.data() + i, d);
    random.Fill(blocks.data() + i + 2, 32);
  }
}

void FillF16(RandomBytes& random, double sigma, std::span<std::byte> blocks) {
  // A random sign and mantissa under one exponent: magnitudes within a factor of two.
  const uint16_t base = static_cast<uint16_t>(PositiveF16(sigma) & 0x7C00);
  for (size_t i = 0; i + 1 < blocks.size(); i += 2) {
    StoreLe(blocks.data() + i, static_cast<uint16_t>(base | (random.Next() & 0x83FF)));
  }
}

void FillOnes(std::span<std::byte> values) {
  for (size_t i = 0; i < values.size(); i += 4) StoreLe(values.data() + i, 1.0f);
}

// The topics and routers of a mixture of experts
// ---------------------------------------------------

constexpr uint32_t kTopics = 64;
constexpr double kTopicSkew = 1.5;     // topic k's share of the words falls with k
constexpr double kTopicShare = 0.4;    // of an embedding's variance
constexpr double kEmbeddingScale = 2;  // above what the layers add, so that topics survive them
constexpr double kTopicPull = 0.3;     // of the output towards its topic
constexpr double kRouterSpread = 0.35;

// Uniform with mean 0 and variance 1, the same for the same arguments.
double Direction(uint64_t what, uint64_t row, uint64_t column) {
  RandomBytes random(what * 0x9E3779B97F4A7C15u ^ row * 0xD1342543DE82EF95u ^
                     column * 0xA0761D6478BD642Fu);
  const double unit = static_cast<double>(random.Next() >> 11) * 0x1p-53;
  return (2 * unit - 1) * std::sqrt(3.0);
}

uint32_t TopicOf(uint64_t word) {
  const double unit = Direction(1, word, 0) / (2 * std::sqrt(3.0)) + 0.5;
  return std::min(kTopics - 1, static_cast<uint32_t>(std::pow(unit, kTopicSkew) * kTopics));
}

// The layer in "blk.7.ffn_gate_inp.weight".
uint64_t NumberIn(std::string_view name) {
  uint64_t number = 0;
  for (const char c : name) {
    if (c >= '0' && c <= '9') number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

double MadeValue(const PlannedTensor& tensor, uint64_t row, uint64_t column) {
  const double width = static_cast<double>(tensor.shape[0]);
  if (tensor.made == Made::kRouter) {
    const uint64_t layer = 100 + 2 * NumberIn(tensor.name);
    const double length = std::exp(kRouterSpread * Direction(layer, row, 0));
    return 1.5 * length * Direction(layer + 1, row, column) / std::sqrt(width);
  }
  const double topic = Direction(2, TopicOf(row), column);
  if (tensor.made == Made::kOutput) {
    return (kTopicPull * topic + Direction(4, row, column)) / std::sqrt(width);
  }
  return kEmbeddingScale *
         (std::sqrt(kTopicShare) * topic + std::sqrt(1 - kTopicShare) * Direction(3, row, column));
}

// F32 for routers, Q8_0 for the rest.
void FillMade(const PlannedTensor& tensor, uint64_t first_byte, std::span<std::byte> bytes) {
  const uint64_t columns = tensor.shape[0];
  if (tensor.type == TensorType::kF32) {
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const uint64_t element = (first_byte + i) / 4;
      StoreLe(bytes.data() + i,
              static_cast<float>(MadeValue(tensor, element / columns, element % columns)));
    }
    return;
  }
  for (size_t i = 0; i < bytes.size(); i += 34) {
    const uint64_t first_element = (first_byte + i) / 34 * 32;
    double values[32];
    double largest = 1e-6;
    for (uint64_t k = 0; k < 32; ++k) {
      values[k] = MadeValue(tensor, first_element / columns, first_element % columns + k);
      largest = std::max(largest, std::abs(values[k]));
    }
    StoreLe(bytes.data() + i, PositiveF16(largest / 127));
    for (uint64_t k = 0; k < 32; ++k) {
      const auto quant = static_cast<int8_t>(std::lround(values[k] / largest * 127));
      StoreLe(bytes.data() + i + 2 + k, quant);
    }
  }
}

void FillWeights(const PlannedTensor& tensor, RandomBytes& random, std::span<std::byte> bytes) {
  const double sigma = 0.6 / std::sqrt(static_cast<double>(tensor.shape[0]));
  switch (tensor.type) {
    case TensorType::kQ4_K:
      return FillQ4K(random, sigma, bytes);
    case TensorType::kQ6_K:
      return FillQ6K(random, sigma, bytes);
    case TensorType::kQ8_0:
      return FillQ80(random, sigma, bytes);
    case TensorType::kF16:
      return FillF16(random, sigma, bytes);
    default:
      return FillOnes(bytes);
  }
}

// The mix that quantizers call Q4_K_M: Q6_K for the output, and in the first and last eighth of the
// layers and every third between for attn_v and ffn_down.
class TypeMix {
 public:
  explicit TypeMix(const Request& request) : request_(request) {}
  TensorType Matrix(std::string_view name, uint32_t layer) const {
    if (request_.quantization == "Q8_0") return TensorType::kQ8_0;
    if (request_.quantization == "F16") return TensorType::kF16;
    if (name == "output") return TensorType::kQ6_K;
    const bool sensitive = name == "attn_v" || name == "ffn_down" || name == "ffn_down_exps";
    const uint32_t layers = request_.shape.layers;
    const bool more_bits =
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    return sensitive && more_bits ? TensorType::kQ6_K : TensorType::kQ4_K;
  }

 private:
  const Request& request_;
};

std::vector<PlannedTensor> PlanTensors(const Request& request) {
  const ModelShape& shape = request.shape;
  const TypeMix mix(request);
  const uint64_t width = shape.width;
  const uint64_t query_width = uint64_t{shape.head()} * shape.heads;
  const uint64_t kv_width = uint64_t{shape.head()} * shape.kv_heads;
  std::vector<PlannedTensor> tensors;
  const auto matrix = [&](const std::string& prefix, const char* name, uint32_t layer,
                          uint64_t columns, uint64_t rows) {
    tensors.push_back({prefix + name + ".weight", mix.Matrix(name, layer), {columns, rows}});
  };
  const auto norm = [&](const std::string& prefix, const char* name, uint64_t length) {
    tensors.push_back({prefix + name + ".weight", TensorType::kF32, {length}});
  };
  const auto experts = [&](const std::string& prefix, const char* name, uint32_t layer,
                           uint64_t columns, uint64_t rows) {
    tensors.push_back(
        {prefix + name + ".weight", mix.Matrix(name, layer), {columns, rows, shape.experts}});
  };
  const auto made = [&](const std::string& name, TensorType type, uint64_t rows, Made values) {
    tensors.push_back({name + ".weight", type, {width, rows}});
    tensors.back().made = values;
  };
  const bool routed = shape.experts > 0;
  if (routed) {
    made("token_embd", TensorType::kQ8_0, shape.vocabulary, Made::kEmbedding);
  } else {
    matrix("", "token_embd", shape.layers, width, shape.vocabulary);
  }
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = fmt::format("blk.{}.", layer);
    norm(prefix, "attn_norm", width);
    if (routed) {
      norm(prefix, "attn_q_norm", shape.head());
      norm(prefix, "attn_k_norm", shape.head());
    }
    matrix(prefix, "attn_q", layer, width, query_width);
    matrix(prefix, "attn_k", layer, width, kv_width);
    matrix(prefix, "attn_v", layer, width, kv_width);
    matrix(prefix, "attn_output", layer, query_width, width);
    norm(prefix, "ffn_norm", width);
    if (routed) {
      made(prefix + "ffn_gate_inp", TensorType::kF32, shape.experts, Made::kRouter);
      experts(prefix, "ffn_gate_exps", layer, width, shape.feed_forward);
      experts(prefix, "ffn_up_exps", layer, width, shape.feed_forward);
      experts(prefix, "ffn_down_exps", layer, shape.feed_forward, width);
      continue;
    }
    matrix(prefix, "ffn_gate", layer, width, shape.feed_forward);
    matrix(prefix, "ffn_up", layer, width, shape.feed_forward);
    matrix(prefix, "ffn_down", layer, shape.feed_forward, width);
  }
  norm("", "output_norm", width);
  if (routed) {
    made("output", TensorType::kQ8_0, shape.vocabulary, Made::kOutput);
  } else {
    matrix("", "output", shape.layers, width, shape.vocabulary);
  }
  return tensors;
}

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

void AddMetadata(const Request& request, GgufWriter& writer) {
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

Result<void> WriteTensor(const PlannedTensor& tensor, uint64_t data_offset, RandomBytes& random,
                         OutputFile& output) {
  const TensorTypeInfo& info = GetTensorType(tensor.type);
  const uint64_t step_bytes = (uint64_t{4} << 20) / info.block_bytes * info.block_bytes;
  std::vector<std::byte> buffer(std::min(step_bytes, tensor.byte_size));
  for (uint64_t done = 0; done < tensor.byte_size; done += step_bytes) {
    const auto part = std::span(buffer).first(std::min(step_bytes, tensor.byte_size - done));
    if (tensor.made != Made::kNo) {
      FillMade(tensor, done, part);
    } else {
      FillWeights(tensor, random, part);
    }
    GS_TRY(output.WriteAt(data_offset + tensor.offset + done, part));
    output.StartWriteback(data_offset + tensor.offset + done, part.size());
  }
  return {};
}

Result<void> MakeModel(Request request) {
  GgufWriter writer;
  if (request.vocabulary_file.empty()) {
    AddMetadata(request, writer);
    AddMadeVocabulary(request.shape.vocabulary, writer);
  } else {
    GS_ASSIGN(const File file, File::OpenRead(request.vocabulary_file));
    GS_ASSIGN(const GgufHeader header, ReadGgufHeader(file));
    AddMetadata(request, writer);
    GS_TRY(AddCopiedVocabulary(header, request, writer));
  }
  writer.AddUint32(fmt::format("{}.vocab_size", request.shape.architecture),
                   request.shape.vocabulary);

  std::vector<PlannedTensor> tensors = PlanTensors(request);
  uint64_t end = 0;
  for (PlannedTensor& tensor : tensors) {
    GS_ASSIGN(tensor.byte_size, TensorBytes(tensor.type, tensor.shape));
    tensor.offset = AlignUp(end, kDefaultGgufAlignment);
    end = tensor.offset + tensor.byte_size;
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, tensor.offset);
  }
  const std::vector<std::byte> header = writer.Serialize();
  GS_ASSIGN(OutputFile output, OutputFile::Create(request.output, Overwrite::kAllow));
  GS_TRY(output.WriteAt(0, header));
  RandomBytes random(request.seed);
  for (const PlannedTensor& tensor : tensors) {
    GS_TRY(WriteTensor(tensor, header.size(), random, output));
  }
  GS_TRY(output.Commit());
  fmt::print("{}: {} bytes, {} tensors\n", request.output, header.size() + end, tensors.size());
  return {};
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) {
  using namespace gguf_shard;
  Request request;
  std::string shape_name;
  uint32_t layers = 0;
  CLI::App app("Makes a GGUF of a real model's shape with random weights.");
  std::vector<std::string> names;
  for (const ModelShape& shape : kShapes) names.emplace_back(shape.name);
  app.add_option("shape", shape_name, "Whose shape")->required()->check(CLI::IsMember(names));
  app.add_option("output", request.output, "The file to make")->required();
  app.add_option("--vocab", request.vocabulary_file, "A GGUF whose tokenizer is copied");
  app.add_option("--quantization", request.quantization)
      ->check(CLI::IsMember({"Q4_K_M", "Q8_0", "F16"}));
  app.add_option("--layers", layers, "Another number of layers than the shape's");
  app.add_option("--seed", request.seed);
  CLI11_PARSE(app, argc, argv);

  request.shape = *std::find_if(std::begin(kShapes), std::end(kShapes),
                                [&](const ModelShape& shape) { return shape.name == shape_name; });
  if (layers > 0) request.shape.layers = layers;
  const auto made = MakeModel(request);
  if (made) return 0;
  fmt::print(stderr, "make_model: {}\n", made.error().ToString());
  return 1;
}
