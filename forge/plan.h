// The plan of a core: which tensors lie where, in which layout, in which zone. The plan is a
// CoreMap whose digests are still zero; sharding fills them in.
//
// Pages in order: the headers of the source files, the tensors in the order the model consumes
// them, the source's gaps, the index. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/gguf_model.h"
#include "core/map.h"
#include "forge/source_gaps.h"

namespace gguf_shard {

// kAuto: column_major for what is multiplied, row_major for the rest. The other two force one
// layout for every tensor that can have it (vectors are always row_major).
enum class LayoutPolicy : uint8_t { kAuto, kColumnMajor, kRowMajor };
Result<LayoutPolicy> LayoutPolicyFromName(std::string_view name);  // "auto", "column_major", ...

// The pages of one pack unit (a strip of rows) are handled in memory at once. A matrix whose strips
// would be larger than this lies row_major instead: F32 rows beyond 131072 columns, Q4_K rows
// beyond 2 million.
inline constexpr uint64_t kMaxUnitBytes = uint64_t{32} << 20;

struct PlanOptions {
  LayoutPolicy layout = LayoutPolicy::kAuto;
  uint32_t prefetch_distance = 8;
  std::string core_file_name = "core.gguf";
  CoreId core_id{};
};

// kUnsupported when the model is a core itself or uses names that a core reserves.
Result<CoreMap> PlanCore(const GgufModel& model, const std::vector<SourceGap>& gaps,
                         const PlanOptions& options);

}  // namespace gguf_shard
