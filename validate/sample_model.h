// A small model cut out of the user's, a few megabytes of its own weights: so that checks may
// shard, patch, damage and crash copies of it as often as they like, however large the user's model
// is. It has tensors of the user's types, and cannot be run. Immutable once made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/core_file.h"
#include "core/error.h"

namespace gguf_shard {

struct SampleModel {
  std::filesystem::path base_gguf;
  std::filesystem::path target_gguf;   // a fine-tune of it: a few weights and the name differ
  std::filesystem::path core;          // folder: the base, sharded
  std::filesystem::path patch;         // base to target
  std::filesystem::path second_patch;  // target to base
  std::string description;             // "23 tensors, 4.1 MiB of 4.6 GiB"
};

inline constexpr uint64_t kSampleBytes = uint64_t{2} << 20;

// `folder` is empty and stays as long as the sample is used. About `size_bytes`, or the whole model
// when it has less.
Result<SampleModel> MakeSampleModel(const CoreFile& core, const std::filesystem::path& folder,
                                    uint64_t seed, uint64_t size_bytes = kSampleBytes);

}  // namespace gguf_shard
