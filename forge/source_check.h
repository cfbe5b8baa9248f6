// Private to verification: who owns a page, and whether the map agrees with the source headers that
// the core keeps. Thread-safety: pure functions; PageOwners is immutable.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/core_file.h"
#include "core/map.h"
#include "forge/verify.h"

namespace gguf_shard {

// The owner of any page, by binary search. `map` must outlive it.
class PageOwners {
 public:
  explicit PageOwners(const CoreMap& map);
  std::string_view Find(uint64_t page_index) const;

 private:
  struct Owner {
    PageRange pages;
    std::string_view name;
  };
  std::vector<Owner> owners_;  // ascending
};

// Adds a fault for every tensor whose name, type, shape or place differs between the map and the
// source headers, and for headers that do not parse.
void CheckMapAgainstSource(const CoreFile& core, VerifyReport& report);

}  // namespace gguf_shard
