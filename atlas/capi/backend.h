// What the C library does with runs, in device memory and in host memory alike. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "atlas/page_source.h"
#include "atlas/run_table.h"
#include "core/core_file.h"
#include "core/error.h"
#include "include/gguf_shard/atlas.h"

namespace gguf_shard {

class AtlasBackend {
 public:
  virtual ~AtlasBackend() = default;
  virtual const RunTable& run_table() const = 0;
  virtual void Prefetch(std::span<const uint32_t> runs) = 0;
  // All or none; runs may be held several times.
  virtual Result<void> Hold(std::span<const uint32_t> runs) = 0;
  virtual void Release(std::span<const uint32_t> runs) = 0;
  // Shows held runs, all at once. Then `before`, which were shown until now, lose one hold each,
  // when no kernel that was submitted until now reads them any more.
  virtual Result<void> Swap(std::span<const uint32_t> runs, std::span<const uint32_t> before,
                            const atlas_timeline* signal) = 0;
  virtual atlas_page PageOf(uint32_t run_index, uint32_t page_of_run) const = 0;
  virtual Result<uint64_t> page_table_address() const = 0;
  virtual void Fill(atlas_statistics& statistics) const = 0;
};

// All arguments must outlive the backend.
Result<std::unique_ptr<AtlasBackend>> MakeHostBackend(const CoreMap& map, PageSource& source,
                                                      const atlas_options& options);
Result<std::unique_ptr<AtlasBackend>> MakeDeviceBackend(const CoreMap& map, PageSource& source,
                                                        const atlas_options& options);

}  // namespace gguf_shard
