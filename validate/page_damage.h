// Damaged pages of every kind that a disk, a cable or a file system makes. Nothing is written: the
// images are for a FaultFileOperations. Deterministic by the random numbers given.
// Thread-safety: functions of one thread.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"
#include "validate/fault_file_operations.h"

namespace gguf_shard {

enum class PageDamageKind : uint8_t {
  kBitFlip,     // one bit
  kBurst,       // up to 512 bytes in a row
  kZeroed,      // the whole page, or its first or last half
  kSwapped,     // two pages changed places
  kDuplicated,  // another page was written here
  kStale,       // an older version of this page: its tag is right
  kForeign,     // the page of another core
};
inline constexpr std::array kPageDamageKinds = {
    PageDamageKind::kBitFlip, PageDamageKind::kBurst,      PageDamageKind::kZeroed,
    PageDamageKind::kSwapped, PageDamageKind::kDuplicated, PageDamageKind::kStale,
    PageDamageKind::kForeign};
std::string_view PageDamageName(PageDamageKind kind);  // "bit_flip", "burst", ...

struct DamagedPage {
  uint64_t page_index = 0;
  std::vector<std::byte> image;  // 4096 bytes, never those of the good page
};

// Damages `count` pages of the window (at least 2), or fewer where it has not enough. `pages` are
// the window's bytes as they are; ascending.
std::vector<DamagedPage> DamagePages(const CoreFile& core, PageRange window,
                                     std::span<const std::byte> pages, PageDamageKind kind,
                                     uint64_t count, std::mt19937_64& random);

// From now on reads of the core give these pages.
void Inject(const CoreFile& core, std::vector<DamagedPage> pages, FaultFileOperations& operations);

}  // namespace gguf_shard
