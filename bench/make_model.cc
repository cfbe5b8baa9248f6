// Makes a GGUF of a real model's shape with random weights: for benchmarks and for runs under a
// memory budget, where only sizes, types and finite values matter.
//
//   make_model tinyllama-1.1b OUT.gguf [--vocab FILE.gguf] [--quantization Q4_K_M|Q8_0|F16]
//                                      [--layers N] [--seed N]
//
// Weights of a matrix are uniform with mean 0 and standard deviation 0.6 / sqrt(columns), norms are
// 1: activations stay finite. The tokenizer is copied from --vocab, or made: the 256 bytes and
// filler words, SentencePiece style.
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
  uint32_t layers, width, feed_forward, heads, kv_heads, vocabulary, context;
  float rope_base;
};
constexpr ModelShape kShapes[] = {
    {"tinyllama-1.1b", 22, 2048, 5632, 32, 4, 32000, 2048, 10000.0f},
    {"llama-3.1-8b", 32, 4096, 14336, 32, 8, 128256, 8192, 500000.0f},
};

struct Request {
  ModelShape shape;
  std::string output;
  std::string vocabulary_file;
  std::string quantization = "Q4_K_M";
  uint64_t seed = 1;
};

struct PlannedTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;
  uint64_t offset = 0;
  uint64_t byte_size = 0;
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
    const bool sensitive = name == "attn_v" || name == "ffn_down";
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
  const uint64_t kv_width = width / shape.heads * shape.kv_heads;
  std::vector<PlannedTensor> tensors;
  const auto matrix = [&](const std::string& prefix, const char* name, uint32_t layer,
                          uint64_t columns, uint64_t rows) {
    tensors.push_back({prefix + name + ".weight", mix.Matrix(name, layer), {columns, rows}});
  };
  const auto norm = [&](const std::string& prefix, const char* name) {
    tensors.push_back({prefix + name + ".weight", TensorType::kF32, {width}});
  };
  matrix("", "token_embd", shape.layers, width, shape.vocabulary);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = fmt::format("blk.{}.", layer);
    norm(prefix, "attn_norm");
    matrix(prefix, "attn_q", layer, width, width);
    matrix(prefix, "attn_k", layer, width, kv_width);
    matrix(prefix, "attn_v", layer, width, kv_width);
    matrix(prefix, "attn_output", layer, width, width);
    norm(prefix, "ffn_norm");
    matrix(prefix, "ffn_gate", layer, width, shape.feed_forward);
    matrix(prefix, "ffn_up", layer, width, shape.feed_forward);
    matrix(prefix, "ffn_down", layer, shape.feed_forward, width);
  }
  norm("", "output_norm");
  matrix("", "output", shape.layers, width, shape.vocabulary);
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
  writer.AddString("general.architecture", "llama");
  writer.AddString("general.name", fmt::format("random {}", shape.name));
  writer.AddUint32("llama.block_count", shape.layers);
  writer.AddUint32("llama.context_length", shape.context);
  writer.AddUint32("llama.embedding_length", shape.width);
  writer.AddUint32("llama.feed_forward_length", shape.feed_forward);
  writer.AddUint32("llama.attention.head_count", shape.heads);
  writer.AddUint32("llama.attention.head_count_kv", shape.kv_heads);
  writer.AddUint32("llama.rope.dimension_count", shape.width / shape.heads);
  writer.AddFloat32("llama.rope.freq_base", shape.rope_base);
  writer.AddFloat32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

Result<void> WriteTensor(const PlannedTensor& tensor, uint64_t data_offset, RandomBytes& random,
                         OutputFile& output) {
  const TensorTypeInfo& info = GetTensorType(tensor.type);
  const uint64_t step_bytes = (uint64_t{4} << 20) / info.block_bytes * info.block_bytes;
  std::vector<std::byte> buffer(std::min(step_bytes, tensor.byte_size));
  for (uint64_t done = 0; done < tensor.byte_size; done += step_bytes) {
    const auto part = std::span(buffer).first(std::min(step_bytes, tensor.byte_size - done));
    FillWeights(tensor, random, part);
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
  writer.AddUint32("llama.vocab_size", request.shape.vocabulary);

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
