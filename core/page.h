// The page: 4096 bytes, the unit of storage, integrity, patching, caching and compute.
//
//   0                                                            4088     4092     4096
//   +------------------------------------------------------------+--------+--------+
//   | content, 4088 bytes (unused tail bytes are zero)           | CRC32  | "PGCR" |
//   +------------------------------------------------------------+--------+--------+
//
// The tag is crc32(crc32(0, context, 16), content, 4088), zlib's polynomial, where context = the
// first 8 bytes of the core's id, then the page's index as u64: a page read from the wrong place,
// or from another core, fails. SealPage writes the tag, CheckPage is the only check of it.
//
// The core ends with index pages: the CRC of every page before them, 1022 u32 to a page.
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gguf_shard {

inline constexpr uint32_t kPageBytes = 4096;
inline constexpr uint32_t kPageContentBytes = 4088;
inline constexpr uint32_t kPageCrcOffset = 4088;
inline constexpr uint32_t kPageMagicOffset = 4092;
inline constexpr uint32_t kPageMagic = 0x52434750;  // "PGCR"
inline constexpr uint32_t kCrcsPerIndexPage = kPageContentBytes / 4;

using CoreId = std::array<std::byte, 16>;

std::string CoreIdToHex(const CoreId& id);
Result<CoreId> CoreIdFromHex(std::string_view hex);  // exactly 32 hexadecimal digits

// The tag of a page's content at its place.
uint32_t PageCrc(const CoreId& core_id, uint64_t page_index,
                 std::span<const std::byte, kPageContentBytes> content);

// Writes CRC and magic behind the content of a 4096-byte page; returns the CRC.
uint32_t SealPage(const CoreId& core_id, uint64_t page_index,
                  std::span<std::byte, kPageBytes> page);

// True when magic and CRC are right for this place.
bool PageIsIntact(const CoreId& core_id, uint64_t page_index,
                  std::span<const std::byte, kPageBytes> page);

// kChecksumMismatch with page, expected (computed) and found (stored) CRC.
Result<void> CheckPage(const CoreId& core_id, uint64_t page_index,
                       std::span<const std::byte, kPageBytes> page);

// The judgement itself, for those who had the CRC computed elsewhere (on a device).
Result<void> CheckPageTag(uint64_t page_index, uint32_t computed_crc, uint32_t stored_crc,
                          uint32_t magic);

// Whether an intact page is the one that the core's index lists, and not an old version of it:
// kChecksumMismatch with page and both CRCs.
Result<void> CheckListedCrc(uint64_t page_index, uint32_t listed_crc, uint32_t stored_crc);

inline uint32_t StoredPageCrc(std::span<const std::byte, kPageBytes> page) {
  uint32_t crc;
  __builtin_memcpy(&crc, page.data() + kPageCrcOffset, sizeof crc);
  return crc;
}

inline std::span<std::byte, kPageBytes> PageAt(std::byte* pages, uint64_t index) {
  return std::span<std::byte, kPageBytes>(pages + index * kPageBytes, kPageBytes);
}
inline std::span<const std::byte, kPageBytes> PageAt(const std::byte* pages, uint64_t index) {
  return std::span<const std::byte, kPageBytes>(pages + index * kPageBytes, kPageBytes);
}

}  // namespace gguf_shard
