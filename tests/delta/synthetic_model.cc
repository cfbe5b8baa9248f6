#include "tests/delta/synthetic_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>

#include "core/bytes.h"
#include "core/gguf_writer.h"
#include "delta/quant_group.h"

namespace gguf_shard {
namespace {

uint16_t F16Near(double value) {
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);
  const int mantissa = std::max(static_cast<int>(fraction * 2048) - 1024, 0);
  return static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | std::max(exponent + 14, 0) << 10 |
                               mantissa);
}

void StoreFloat(TensorType type, double value, std::byte* target) {
  const auto single = static_cast<float>(value);
  if (type == TensorType::kF32) StoreLe(target, single);
  if (type == TensorType::kF16) StoreLe(target, F16Near(value));
  if (type == TensorType::kBF16) {
    StoreLe(target, static_cast<uint16_t>(std::bit_cast<uint32_t>(single) >> 16));
  }
}

uint64_t WeightCount(const std::vector<uint64_t>& shape) {
  uint64_t count = 1;
  for (const uint64_t dimension : shape) count *= dimension;
  return count;
}

}  // namespace

void Disturb(SyntheticTensor& tensor, double share, std::mt19937_64& random) {
  const uint64_t block_bytes = GetTensorType(tensor.type).block_bytes;
  std::bernoulli_distribution hit(share);
  for (size_t i = 0; i + block_bytes <= tensor.bytes.size(); i += block_bytes) {
    if (!hit(random)) continue;
    tensor.bytes[i + random() % block_bytes] ^= static_cast<std::byte>(1u << random() % 8);
  }
}

std::vector<std::byte> RandomBytes(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::vector<TensorType> NumericTypes() {
  std::vector<TensorType> types = {TensorType::kF32, TensorType::kF16, TensorType::kBF16};
  for (const auto& info : AllTensorTypes()) {
    if (FindQuantFormat(info.type) != nullptr) types.push_back(info.type);
  }
  return types;
}

std::vector<std::byte> SyntheticWeights(TensorType type, uint64_t weights, uint64_t seed) {
  const TensorTypeInfo& info = GetTensorType(type);
  std::vector<std::byte> bytes(weights / info.block_weights * info.block_bytes);
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, 0.05);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  const bool quantized = FindQuantFormat(type) != nullptr;
  for (size_t i = 0; i < bytes.size(); i += info.block_bytes) {
    if (!quantized) {
      StoreFloat(type, normal(random), bytes.data() + i);
      continue;
    }
    QuantGroup group{};
    UnpackGroup(type, bytes.data() + i, 1, group);
    group.d[0] = F16Near(0.01 + std::abs(normal(random)) / 100);
    group.m[0] = F16Near(0.02);
    PackGroup(type, group, 1, bytes.data() + i);
  }
  return bytes;
}

SyntheticTensor MakeTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                           uint64_t seed) {
  auto bytes = SyntheticWeights(type, WeightCount(shape), seed);
  return {std::move(name), type, std::move(shape), std::move(bytes)};
}

SyntheticModel MakeModel(uint64_t seed) {
  using enum TensorType;
  SyntheticModel model;
  model.tensors = {
      MakeTensor("token_embd.weight", kQ8_0, {256, 300}, seed),
      MakeTensor("blk.0.attn_norm.weight", kF32, {256}, seed + 1),
      MakeTensor("blk.0.attn_q.weight", kQ4_K, {256, 96}, seed + 2),
      MakeTensor("blk.0.attn_k.weight", kQ6_K, {256, 64}, seed + 3),
      MakeTensor("blk.0.attn_v.weight", kIQ4_XS, {256, 64}, seed + 4),
      MakeTensor("blk.0.ffn_up.weight", kBF16, {256, 70}, seed + 5),
      MakeTensor("blk.0.ffn_down.weight", kQ4_0, {96, 256}, seed + 6),
      MakeTensor("blk.0.ffn_gate_exps.weight", kQ5_K, {256, 40, 4}, seed + 7),
      MakeTensor("blk.1.attn_q.weight", kQ3_K, {256, 96}, seed + 8),
      MakeTensor("blk.1.attn_k.weight", kQ2_K, {256, 64}, seed + 9),
      MakeTensor("blk.1.attn_v.weight", kIQ2_XXS, {256, 64}, seed + 10),
      MakeTensor("blk.1.ffn_up.weight", kF16, {256, 70}, seed + 11),
      MakeTensor("blk.1.ffn_down.weight", kQ4_1, {96, 64}, seed + 13),
      MakeTensor("blk.1.ffn_gate.weight", kQ5_0, {96, 64}, seed + 14),
      MakeTensor("blk.1.attn_output.weight", kIQ4_NL, {96, 64}, seed + 15),
      MakeTensor("output.weight", kQ5_1, {256, 300}, seed + 12),
  };
  return model;
}

namespace {

void WriteModelAs(const SyntheticModel& model, GgufWriter& writer,
                  const std::filesystem::path& path) {
  uint64_t offset = 0;
  std::vector<std::byte> data;
  for (const auto& tensor : model.tensors) {
    data.resize(offset, model.padding);
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, offset);
    data.insert(data.end(), tensor.bytes.begin(), tensor.bytes.end());
    offset = AlignUp(data.size(), model.alignment);
  }
  data.resize(offset, model.padding);
  data.insert(data.end(), model.trailing.begin(), model.trailing.end());
  const auto header = writer.Serialize();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(header.data()),
             static_cast<std::streamsize>(header.size()));
  file.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  ASSERT_TRUE(file.good());
}

GgufWriter StartModel(const SyntheticModel& model) {
  GgufWriter writer(model.alignment);
  writer.AddString("general.architecture", "llama");
  writer.AddString("general.name", model.name);
  writer.AddString("tokenizer.chat_template", model.chat_template);
  return writer;
}

}  // namespace

void WriteModel(const SyntheticModel& model, const std::filesystem::path& path) {
  GgufWriter writer = StartModel(model);
  WriteModelAs(model, writer, path);
}

std::vector<std::filesystem::path> WriteSplitModel(const SyntheticModel& model,
                                                   const std::filesystem::path& directory) {
  constexpr uint16_t kParts = 2;
  std::filesystem::create_directories(directory);
  std::vector<std::filesystem::path> paths;
  const auto half = static_cast<std::ptrdiff_t>(model.tensors.size() / kParts);
  for (uint16_t part = 0; part < kParts; ++part) {
    SyntheticModel of_part = model;
    auto& tensors = of_part.tensors;
    tensors = part == 0 ? std::vector(tensors.begin(), tensors.begin() + half)
                        : std::vector(tensors.begin() + half, tensors.end());
    GgufWriter writer = StartModel(of_part);
    writer.AddUint16("split.no", part);
    writer.AddUint16("split.count", kParts);
    writer.AddInt32("split.tensors.count", static_cast<int32_t>(model.tensors.size()));
    paths.push_back(directory / fmt::format("model-{:05}-of-{:05}.gguf", part + 1, kParts));
    WriteModelAs(of_part, writer, paths.back());
  }
  return paths;
}

SyntheticModel EditModel(SyntheticModel model, std::mt19937_64& random) {
  auto& tensors = model.tensors;
  const auto Any = [&]() -> SyntheticTensor& { return tensors[random() % tensors.size()]; };
  const uint64_t edits = 1 + random() % 4;
  for (uint64_t i = 0; i < edits; ++i) {
    const std::string fresh = "edit." + std::to_string(random() % 1000000);
    switch (random() % 12) {
      case 0:
        Disturb(Any(), 1.0, random);
        break;
      case 1:
        Disturb(Any(), 0.01, random);
        break;
      case 2:
        for (auto& tensor : tensors) Disturb(tensor, 0.5, random);
        break;
      case 3:
        model.name = fresh;
        break;
      case 4:
        model.chat_template.assign(random() % 20000, 'x');
        break;
      case 5:
        tensors.push_back(MakeTensor(fresh, TensorType::kQ4_K, {256, 33}, random()));
        break;
      case 6:
        if (tensors.size() > 3) {
          tensors.erase(tensors.begin() + static_cast<ptrdiff_t>(random() % tensors.size()));
        }
        break;
      case 7:
        Any().name = fresh;
        break;
      case 8:
        std::shuffle(tensors.begin(), tensors.end(), random);
        break;
      case 9: {  // rows appear in front of the others
        SyntheticTensor& tensor = Any();
        if (tensor.shape.size() != 2) break;
        tensor.shape[1] += 5;
        const auto rows = SyntheticWeights(tensor.type, tensor.shape[0] * 5, random());
        tensor.bytes.insert(tensor.bytes.begin(), rows.begin(), rows.end());
        break;
      }
      case 10: {  // another type
        SyntheticTensor& tensor = Any();
        if (tensor.shape[0] % 256 != 0) break;
        tensor = MakeTensor(tensor.name, TensorType::kQ4_K, tensor.shape, random());
        break;
      }
      default:
        model.padding = static_cast<std::byte>(random() % 3);
        model.trailing.assign(random() % 5000, static_cast<std::byte>(random()));
        break;
    }
  }
  return model;
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace gguf_shard
