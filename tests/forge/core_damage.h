// A small model, sharded, and ways to damage what came out. Thread-safety: for one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "core/map.h"
#include "forge/shard.h"
#include "tests/forge/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {

class ShardedModel {
 public:
  // A model with a header, an embedding, two matrices, a norm and trailing bytes; core id fixed.
  ShardedModel();

  const std::filesystem::path& directory() const { return temporary_.path(); }
  std::filesystem::path source_path() const { return temporary_ / "model.gguf"; }
  std::filesystem::path core_path() const { return temporary_ / "out" / "core.gguf"; }
  std::filesystem::path map_path() const { return temporary_ / "out" / "core.sgmap"; }
  const CoreMap& map() const { return report_.map; }
  const MapTensor& tensor(std::string_view name) const;
  uint64_t page_offset(uint64_t page) const;

  // Inverts one byte of a page.
  void FlipByte(uint64_t page, uint64_t byte_in_page) const;
  // Copies one page over another.
  void CopyPage(uint64_t from_page, uint64_t to_page) const;
  // Writes another content with a valid tag, as an older version of the page would have.
  void WriteStalePage(uint64_t page) const;
  // Changes the map as JSON.
  // Changes the map, and the core's header with it: a pair that agrees, made by somebody hostile.
  void EditMap(const std::function<void(nlohmann::json&)>& edit) const;
  // Changes the map and nothing else.
  void EditMapAlone(const std::function<void(nlohmann::json&)>& edit) const;

 private:
  TemporaryDirectory temporary_;
  ShardReport report_;
};

}  // namespace gguf_shard
