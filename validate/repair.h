// Repair of a damaged core from another copy of the model.
//
// A page is bad when its tag fails, when it is not the one that the index lists, or when the file
// ends before it. Each bad page is made anew from the copy and replaces the bad one only when that
// is proven: its CRC is the one in the index, or, where the index itself is damaged, the index made
// from all pages has the SHA-256 that the map holds. The header and the index are made from the map
// and the pages. The repaired core is written beside the old one and takes its place in one step
// (core/core_commit.h): a crash leaves the old one or the new one. Nothing is written when nothing
// can be repaired.
// Thread-safety: one caller per core, which nobody else uses meanwhile.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/map.h"
#include "core/progress.h"

namespace gguf_shard {

struct RepairOptions {
  std::string from;                            // see GoodCopy::Open
  std::vector<std::filesystem::path> patches;  // laid over it
};

// Neighbouring pages of one owner.
struct RepairPages {
  PageRange pages;
  std::string owner;   // as in VerifyReport
  std::string reason;  // why they could not be repaired; empty for those that were
};

struct RepairReport {
  std::filesystem::path core_path;
  uint64_t bad_page_count = 0;
  std::vector<RepairPages> repaired;    // ascending
  std::vector<RepairPages> unrepaired;  // ascending
  bool header_restored = false;         // or the length of the file
  bool index_restored = false;
  bool map_restored = false;
  bool written = false;

  bool complete() const { return unrepaired.empty(); }
};

// `map_path` names the map, or the directory that holds core.sgmap. An unreadable map is taken from
// the copy when that is a core with the same id. Errors are what keeps the repair from happening:
// no map, a copy of another model (kMismatch), no space, Ctrl-C.
Result<RepairReport> RepairCore(const std::filesystem::path& map_path, const RepairOptions& options,
                                Progress& progress);

}  // namespace gguf_shard
