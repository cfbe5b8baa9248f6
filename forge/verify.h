// Verification: is every byte of a core what it was when the core was made?
//
// Every depth checks that the map and the core belong together, that the index is the one whose
// SHA-256 the map holds, that every page passes its tag and is the one the index lists, and that
// the map agrees with the source headers kept in the core.
//
//   kFast      nothing more
//   kStandard  also reconstructs every source byte, in memory, and compares each tensor's XXH3-128
//   kFull      also compares the SHA-256 of every source file (bound by one core's SHA-256 speed)
//
// Damage is not an error: it is listed, all of it. Errors are what keeps the check from happening:
// a map that is malformed or belongs to another core, memory, Ctrl-C.
// Thread-safety: functions of one thread; several cores may be verified side by side.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/map.h"
#include "core/progress.h"
#include "forge/page_reader.h"

namespace gguf_shard {

enum class VerifyDepth : uint8_t { kFast, kStandard, kFull };
std::string_view VerifyDepthName(VerifyDepth depth);  // "fast", "standard", "full"

// Neighbouring pages with the same kind of fault.
struct BadPages {
  PageRange pages;
  PageFaultKind kind = PageFaultKind::kTag;
  std::string owner;  // the tensor, or "gguf_shard.source_header", ...
  std::string expected;
  std::string found;  // of the first page
};

// A digest, or an entry of the map, that is not what it should be.
struct VerifyFault {
  std::string subject;  // "index", "tensor blk.0.attn_q.weight", "file model.gguf"
  std::string sentence;
  std::string expected;
  std::string found;
};

struct VerifyReport {
  std::filesystem::path map_path;
  std::filesystem::path core_path;
  CoreMap map;
  VerifyDepth depth = VerifyDepth::kStandard;
  uint64_t checked_page_count = 0;
  uint64_t bad_page_count = 0;
  std::vector<BadPages> bad_pages;  // ascending
  std::vector<VerifyFault> faults;

  bool intact() const { return bad_page_count == 0 && faults.empty(); }
};

// `map_path` names the map, or the directory that holds core.sgmap.
Result<VerifyReport> VerifyCore(const std::filesystem::path& map_path, VerifyDepth depth,
                                Progress& progress);

}  // namespace gguf_shard
