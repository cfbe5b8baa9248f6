// Sharding: a GGUF (or a split) becomes a core and its map.
//
// One pass over the source in file order; reading, hashing, packing and writing overlap
// (forge/pipeline.h). Memory stays bounded whatever the model's size. Core and map appear together,
// complete, or not at all: the core is committed first, then the map; when the map fails, a core
// that replaced nothing is removed again. Thread-safety: functions of one thread; jobs with
// different outputs may run side by side.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/map.h"
#include "core/progress.h"
#include "forge/pipeline.h"
#include "forge/plan.h"

namespace gguf_shard {

struct ShardOptions {
  std::filesystem::path output_directory;  // empty: DefaultShardDirectory(model)
  std::string name = "core";               // NAME.gguf and NAME.sgmap
  LayoutPolicy layout = LayoutPolicy::kAuto;
  uint32_t prefetch_distance = 8;  // the map's default for the runtime, in shards
  Overwrite overwrite = Overwrite::kRefuse;
  std::optional<CoreId> core_id;                         // random when not given
  uint64_t buffer_bytes = DefaultPipelineBudgetBytes();  // memory for data on its way
};

struct ShardReport {
  std::filesystem::path core_path;
  std::filesystem::path map_path;
  uint64_t source_bytes = 0;
  uint64_t core_bytes = 0;
  CoreMap map;
};

// "dir/MODEL.gguf" gives "dir/MODEL.shard"; the part number of a split is dropped.
std::filesystem::path DefaultShardDirectory(const std::filesystem::path& model);

Result<ShardReport> ShardModel(const std::filesystem::path& model, const ShardOptions& options,
                               Progress& progress);

}  // namespace gguf_shard
