// Makes a GGUF of a real model's shape with random weights: for benchmarks and for runs under a
// memory budget, where only sizes, types and finite values matter.
//
//   make_model tinyllama-1.1b OUT.gguf [--vocab FILE.gguf] [--quantization Q4_K_M|Q8_0|Q4_0|F16]
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
#include <cstdio>
#include <string>
#include <vector>

#include "bench/model/metadata.h"
#include "bench/model/plan.h"
#include "bench/model/shape.h"
#include "bench/model/weights.h"
#include "core/file.h"
#include "core/gguf_writer.h"

namespace gguf_shard {
namespace {

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
  GS_TRY(AddModelMetadata(request, writer));
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
      ->check(CLI::IsMember({"Q4_K_M", "Q8_0", "Q4_0", "F16"}));
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
