// What a patch says about itself, and whether it is whole. Thread-safety: free functions of one
// thread; they may use threads of their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "delta/model_view.h"
#include "delta/patch_io.h"

namespace gguf_shard {

struct TensorChange {
  std::string name;
  std::string base_name;  // empty: none
  std::string methods;    // of its frames: "quant", "float+stored"; empty when all is copied
  uint64_t target_bytes = 0;
  uint64_t copied_bytes = 0;   // as they are in the base
  uint64_t coded_bytes = 0;    // predicted from the base
  uint64_t added_bytes = 0;    // without a base
  uint64_t payload_bytes = 0;  // its share of the frames it is in
};

struct PatchSummary {
  std::vector<TensorChange> changes;  // tensors that are not simply kept
  uint64_t patch_bytes = 0;
  uint64_t target_bytes = 0;
  uint64_t header_payload_bytes = 0;  // source headers and gaps
  uint64_t tensor_payload_bytes = 0;
};
PatchSummary SummarizePatch(const PatchReader& patch);

// Reads every frame of the patch and checks it; with a base, decodes the whole target and proves
// its SHA-256.
Result<void> VerifyPatch(const PatchReader& patch, const ModelView* base, uint32_t thread_count,
                         Progress& progress);

}  // namespace gguf_shard
