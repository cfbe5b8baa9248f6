// The C library's functions: arguments checked, shards turned into runs, errors into codes.
#include <algorithm>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "atlas/capi/atlas_handle.h"
#include "atlas/page_pool.h"
#include "core/check.h"
#include "include/gguf_shard/atlas.h"

using gguf_shard::CoreFile;
using gguf_shard::CoreMap;
using gguf_shard::Error;
using gguf_shard::ErrorCode;
using gguf_shard::Fail;
using gguf_shard::MapTensor;
using gguf_shard::Result;
using gguf_shard::RunSpan;

namespace gguf_shard {

Result<void> OpenBackend(atlas_handle& self, const atlas_options& options) {
  const bool on_device = options.vulkan != nullptr || options.device != ATLAS_HOST_MEMORY;
  if (on_device) {
    GS_ASSIGN(self.backend, MakeDeviceBackend(self.map(), *self.source, options));
  } else {
    GS_ASSIGN(self.backend, MakeHostBackend(self.map(), *self.source, options));
  }
  return {};
}

}  // namespace gguf_shard

namespace {

thread_local std::string last_error;

atlas_result Failed(const Error& error) {
  last_error = error.ToString();
  return static_cast<atlas_result>(static_cast<int>(error.code()) + 1);
}

atlas_result Refuse(const char* text) { return Failed(Error(ErrorCode::kInvalidArgument, text)); }

// Runs `body`, which returns a Result<void>; no exception leaves it.
template <typename Body>
atlas_result Guard(Body body) noexcept {
  try {
    const Result<void> result = body();
    return result ? ATLAS_OK : Failed(result.error());
  } catch (const std::bad_alloc&) {
    return ATLAS_OUT_OF_MEMORY;
  } catch (...) {
    return ATLAS_INTERNAL;
  }
}

struct ShardPlace {
  uint32_t tensor_index;
  uint32_t slice;
};

Result<ShardPlace> FindShard(const CoreMap& map, uint64_t shard_id) {
  for (size_t i = 0; i < map.tensors.size(); ++i) {
    const MapTensor& tensor = map.tensors[i];
    if (shard_id < tensor.first_shard_id) continue;
    const uint64_t slice = shard_id - tensor.first_shard_id;
    if (slice < tensor.layout.slice_count) {
      return ShardPlace{static_cast<uint32_t>(i), static_cast<uint32_t>(slice)};
    }
  }
  return Fail(Error(ErrorCode::kNotFound, "there is no shard of that number")
                  .Expected("0 to " + std::to_string(map.shard_count()) + ", not included")
                  .Found(shard_id));
}

// The runs of shards, each once.
Result<std::vector<uint32_t>> RunsOfShards(const atlas_handle& self, const uint64_t* shard_ids,
                                           size_t count) {
  if (shard_ids == nullptr && count > 0) {
    return Fail(ErrorCode::kInvalidArgument, "the shard ids are missing");
  }
  std::set<uint32_t> runs;
  for (size_t i = 0; i < count; ++i) {
    GS_ASSIGN(const auto place, FindShard(self.map(), shard_ids[i]));
    const RunSpan span = self.backend->run_table().RunsOf(place.tensor_index, place.slice);
    for (uint32_t run = 0; run < span.run_count; ++run) runs.insert(span.first_run + run);
  }
  return std::vector<uint32_t>(runs.begin(), runs.end());
}

Result<void> OpenAtlas(const char* map_path, const atlas_options& options, atlas_handle** opened) {
  GS_ASSIGN(auto core, CoreFile::Open(map_path, gguf_shard::Caching::kDirect));
  GS_TRY(core.LoadIndex());
  auto self = std::make_unique<atlas_handle>(std::move(core));
  self->source = gguf_shard::MakeCorePageSource(self->core);
  GS_TRY(gguf_shard::OpenBackend(*self, options));
  *opened = self.release();
  return {};
}

Result<void> SwapShards(atlas_handle& self, const uint64_t* shard_ids, size_t count,
                        const atlas_timeline* signal) {
  GS_ASSIGN(auto runs, RunsOfShards(self, shard_ids, count));
  const std::lock_guard lock(self.swap_mutex);
  GS_TRY(self.backend->Hold(runs));
  if (auto swapped = self.backend->Swap(runs, self.current_runs, signal); !swapped) {
    self.backend->Release(runs);
    return swapped;
  }
  self.current_runs = std::move(runs);
  return {};
}

Result<void> PinShard(atlas_handle& self, uint64_t shard_id, atlas_page* pages, size_t capacity) {
  GS_ASSIGN(const auto place, FindShard(self.map(), shard_id));
  const uint64_t page_count = self.map().tensors[place.tensor_index].layout.pages_per_slice;
  if (capacity < page_count || (pages == nullptr && page_count > 0)) {
    return Fail(Error(ErrorCode::kInvalidArgument, "there is no room for the shard's pages")
                    .Expected(page_count)
                    .Found(uint64_t{capacity}));
  }
  GS_ASSIGN(const auto runs, RunsOfShards(self, &shard_id, 1));
  GS_TRY(self.backend->Hold(runs));
  for (const uint32_t run_index : runs) {
    const uint32_t run_pages = self.backend->run_table().run(run_index).page_count;
    for (uint32_t page = 0; page < run_pages; ++page) {
      *pages++ = self.backend->PageOf(run_index, page);
    }
  }
  const std::lock_guard lock(self.pins_mutex);
  ++self.pins[shard_id];
  return {};
}

Result<void> UnpinShard(atlas_handle& self, uint64_t shard_id) {
  {
    const std::lock_guard lock(self.pins_mutex);
    const auto pin = self.pins.find(shard_id);
    if (pin == self.pins.end()) {
      return Fail(Error(ErrorCode::kInvalidArgument, "the shard is not pinned").Found(shard_id));
    }
    if (--pin->second == 0) self.pins.erase(pin);
  }
  GS_ASSIGN(const auto runs, RunsOfShards(self, &shard_id, 1));
  self.backend->Release(runs);
  return {};
}

Result<void> VerifyPages(const atlas_handle& self, gguf_shard::PageRange range) {
  constexpr uint64_t kPagesAtOnce = 256;
  GS_ASSIGN(const auto buffer, gguf_shard::PagePool::Allocate(kPagesAtOnce));
  for (uint64_t page = range.first_page; page < range.end_page(); page += kPagesAtOnce) {
    const uint64_t pages = std::min(kPagesAtOnce, range.end_page() - page);
    GS_TRY(self.core.ReadPages(page, {buffer.slot(0), pages * gguf_shard::kPageBytes}));
  }
  return {};
}

Result<void> VerifyShards(const atlas_handle& self, const uint64_t* shard_ids, size_t count) {
  if (shard_ids == nullptr) {
    for (const MapTensor& tensor : self.map().tensors) GS_TRY(VerifyPages(self, tensor.pages()));
    return {};
  }
  for (size_t i = 0; i < count; ++i) {
    GS_ASSIGN(const auto place, FindShard(self.map(), shard_ids[i]));
    GS_TRY(VerifyPages(self, self.map().tensors[place.tensor_index].slice_pages(place.slice)));
  }
  return {};
}

}  // namespace

const char* atlas_result_name(atlas_result result) {
  if (result == ATLAS_OK) return "ok";
  if (result < ATLAS_OK || result >= ATLAS_INTERNAL) return "internal";
  // Views of literals, which end with a zero.
  return gguf_shard::ErrorCodeName(static_cast<ErrorCode>(static_cast<int>(result) - 1)).data();
}

const char* atlas_last_error(void) { return last_error.c_str(); }

atlas_result atlas_open(const char* map_path, const atlas_options* options, atlas_handle** opened) {
  if (map_path == nullptr || options == nullptr || opened == nullptr) {
    return Refuse("a path, options and a place for the atlas are needed");
  }
  *opened = nullptr;
  if (options->struct_size != sizeof(atlas_options)) {
    return Refuse("struct_size is not that of this library's atlas_options");
  }
  return Guard([&] { return OpenAtlas(map_path, *options, opened); });
}

void atlas_close(atlas_handle* self) {
  if (self == nullptr) return;
  static_cast<void>(Guard([&] {
    self->backend->Release(self->current_runs);
    for (const auto& [shard_id, count] : self->pins) {
      const auto runs = RunsOfShards(*self, &shard_id, 1);
      for (uint64_t i = 0; i < count && runs; ++i) self->backend->Release(*runs);
    }
    delete self;
    return Result<void>();
  }));
}

uint64_t atlas_shard_count(const atlas_handle* self) {
  return self == nullptr ? 0 : self->map().shard_count();
}

atlas_result atlas_shard_info(const atlas_handle* self, uint64_t shard_id, atlas_shard* shard) {
  if (self == nullptr || shard == nullptr) return Refuse("an atlas and a place are needed");
  return Guard([&]() -> Result<void> {
    GS_ASSIGN(const auto place, FindShard(self->map(), shard_id));
    const MapTensor& tensor = self->map().tensors[place.tensor_index];
    const gguf_shard::PageRange pages = tensor.slice_pages(place.slice);
    *shard = {tensor.name.c_str(), place.slice, pages.first_page, pages.page_count};
    return {};
  });
}

atlas_result atlas_find_tensor(const atlas_handle* self, const char* tensor_name,
                               uint64_t* first_shard_id, uint64_t* shard_count) {
  if (self == nullptr || tensor_name == nullptr || first_shard_id == nullptr ||
      shard_count == nullptr) {
    return Refuse("an atlas, a name and two places are needed");
  }
  return Guard([&]() -> Result<void> {
    const MapTensor* tensor = self->map().FindTensor(tensor_name);
    if (tensor == nullptr) {
      return Fail(Error(ErrorCode::kNotFound, "there is no tensor of that name")
                      .Tensor(std::string(tensor_name)));
    }
    *first_shard_id = tensor->first_shard_id;
    *shard_count = tensor->layout.slice_count;
    return {};
  });
}

atlas_result atlas_prefetch(atlas_handle* self, const uint64_t* shard_ids, size_t count) {
  if (self == nullptr) return Refuse("an atlas is needed");
  return Guard([&]() -> Result<void> {
    GS_ASSIGN(const auto runs, RunsOfShards(*self, shard_ids, count));
    self->backend->Prefetch(runs);
    return {};
  });
}

atlas_result atlas_atomic_swap(atlas_handle* self, const uint64_t* shard_ids, size_t count,
                               const atlas_timeline* signal) {
  if (self == nullptr) return Refuse("an atlas is needed");
  return Guard([&] { return SwapShards(*self, shard_ids, count, signal); });
}

atlas_result atlas_pin(atlas_handle* self, uint64_t shard_id, atlas_page* pages, size_t capacity) {
  if (self == nullptr) return Refuse("an atlas is needed");
  return Guard([&] { return PinShard(*self, shard_id, pages, capacity); });
}

atlas_result atlas_unpin(atlas_handle* self, uint64_t shard_id) {
  if (self == nullptr) return Refuse("an atlas is needed");
  return Guard([&] { return UnpinShard(*self, shard_id); });
}

atlas_result atlas_page_table(const atlas_handle* self, uint64_t* device_address) {
  if (self == nullptr || device_address == nullptr)
    return Refuse("an atlas and a place are needed");
  return Guard([&]() -> Result<void> {
    GS_ASSIGN(*device_address, self->backend->page_table_address());
    return {};
  });
}

atlas_result atlas_verify(atlas_handle* self, const uint64_t* shard_ids, size_t count) {
  if (self == nullptr) return Refuse("an atlas is needed");
  return Guard([&] { return VerifyShards(*self, shard_ids, count); });
}

atlas_result atlas_stats(const atlas_handle* self, atlas_statistics* statistics) {
  if (self == nullptr || statistics == nullptr) return Refuse("an atlas and a place are needed");
  if (statistics->struct_size != sizeof(atlas_statistics)) {
    return Refuse("struct_size is not that of this library's atlas_statistics");
  }
  return Guard([&]() -> Result<void> {
    *statistics = {};
    statistics->struct_size = sizeof(atlas_statistics);
    self->backend->Fill(*statistics);
    return {};
  });
}
