// What an atlas_handle of the C library (include/gguf_shard/atlas.h) is, and how one is opened over
// any source of pages: tests put faults between the file and the atlas.
//
// Thread-safety: as the C library states it; each mutex guards what follows it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "atlas/capi/backend.h"
#include "atlas/page_source.h"
#include "core/core_file.h"
#include "core/error.h"
#include "include/gguf_shard/atlas.h"

// The members are in the order of their needs: the last one goes first.
struct atlas_handle {
  explicit atlas_handle(gguf_shard::CoreFile opened) : core(std::move(opened)) {}

  const gguf_shard::CoreMap& map() const { return core.map(); }

  gguf_shard::CoreFile core;
  std::unique_ptr<gguf_shard::PageSource> source;
  std::unique_ptr<gguf_shard::AtlasBackend> backend;
  std::mutex swap_mutex;               // one swap at a time
  std::vector<uint32_t> current_runs;  // each held once for the current set
  std::mutex pins_mutex;
  std::map<uint64_t, uint64_t> pins;  // shard -> how often
};

namespace gguf_shard {

// Makes the pool over the handle's core and source, which are there.
Result<void> OpenBackend(atlas_handle& self, const atlas_options& options);

}  // namespace gguf_shard
