// Another copy of what a core holds, from which its pages can be made anew: the source GGUF (a
// file, or an address from which ranges can be read), another core of the same model, or a base
// with patches laid over it.
//
// Nothing that comes from a copy is believed: whoever repairs proves every page against the index
// or the map. Thread-safety: for one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/map.h"
#include "delta/core_plan.h"
#include "delta/merge.h"
#include "delta/model_view.h"

namespace gguf_shard {

class GoodCopy {
 public:
  // `from` is a GGUF, a map, a directory that holds a map, or an http(s) address of the (first)
  // source file; patches are laid over it in turn. kMismatch when it has not the tensors of `map`.
  static Result<std::unique_ptr<GoodCopy>> Open(const std::string& from,
                                                const std::vector<std::filesystem::path>& patches,
                                                const CoreMap& map);

  // Makes one page anew, sealed: any page of the map but those of the index. kNotFound when the
  // copy does not have it.
  Result<void> ReadPage(uint64_t page_index, std::span<std::byte, kPageBytes> page) const;

 private:
  GoodCopy() = default;
  const ModelView& view() const;
  Result<void> MatchTensors();
  bool ReadStoredPage(uint64_t page_index, std::span<std::byte, kPageBytes> page) const;

  OpenedModel model_;
  std::unique_ptr<PatchStack> stack_;  // null without patches
  CorePlan plan_;                      // the damaged core's map; nothing is in place
  std::unique_ptr<PatchedPages> pages_;
  // Of the unit that the last page belonged to: neighbours are asked for one after the other.
  mutable PageRange unit_{};
  mutable std::vector<std::byte> unit_pages_;
};

}  // namespace gguf_shard
