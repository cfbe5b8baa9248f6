// Small models made up for the tests of delta: any types, any edits. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/tensor_type.h"

namespace gguf_shard {

struct SyntheticTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;
  std::vector<std::byte> bytes;
};

struct SyntheticModel {
  std::string name = "base";
  std::string chat_template = "plain";
  uint64_t alignment = 32;
  std::vector<SyntheticTensor> tensors;
  std::vector<std::byte> trailing;  // behind the last tensor
  std::byte padding{0};             // between tensors
};

std::vector<std::byte> RandomBytes(size_t count, uint64_t seed);
// The types whose weights have codecs of their own.
std::vector<TensorType> NumericTypes();
// Plausible weights: scales in their usual range, quants all over.
std::vector<std::byte> SyntheticWeights(TensorType type, uint64_t weights, uint64_t seed);
SyntheticTensor MakeTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                           uint64_t seed);
// A llama-like set of tensors of many types.
SyntheticModel MakeModel(uint64_t seed);
void WriteModel(const SyntheticModel& model, const std::filesystem::path& path);
// As a split of two files.
std::vector<std::filesystem::path> WriteSplitModel(const SyntheticModel& model,
                                                   const std::filesystem::path& directory);

// Flips a bit in `share` of the tensor's blocks.
void Disturb(SyntheticTensor& tensor, double share, std::mt19937_64& random);

// A random change of a model: weights, names, shapes, types, order, metadata, padding.
SyntheticModel EditModel(SyntheticModel model, std::mt19937_64& random);

std::string ReadAll(const std::filesystem::path& path);

}  // namespace gguf_shard
