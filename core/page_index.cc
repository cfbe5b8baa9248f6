#include "core/page_index.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "core/bytes.h"
#include "core/core_file.h"
#include "core/digest.h"

namespace gguf_shard {

Result<PageIndex> PageIndex::Load(const CoreFile& core) {
  constexpr uint64_t kStepPages = 64;
  const MapCore& map = core.map().core;
  // Aligned: the core may be open for direct I/O.
  const std::unique_ptr<std::byte[], decltype(&std::free)> buffer(
      static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, kStepPages * kPageBytes)),
      &std::free);
  if (buffer == nullptr) return Fail(ErrorCode::kOutOfMemory, "no memory for the index");
  std::vector<uint32_t> crcs(map.index.first_page);
  Sha256Hasher hasher;
  for (uint64_t step = 0; step < map.index.page_count; step += kStepPages) {
    const uint64_t count = std::min(kStepPages, map.index.page_count - step);
    const std::span pages(buffer.get(), count * kPageBytes);
    GS_TRY(core.ReadPages(map.index.first_page + step, pages));
    hasher.Update(pages);
    const uint64_t first = step * kCrcsPerIndexPage;
    const uint64_t end = std::min<uint64_t>(crcs.size(), (step + count) * kCrcsPerIndexPage);
    for (uint64_t page = first; page < end; ++page) {
      const uint64_t entry = page - first;
      crcs[page] = LoadLe<uint32_t>(pages.data() + entry / kCrcsPerIndexPage * kPageBytes +
                                    entry % kCrcsPerIndexPage * 4);
    }
  }
  const Sha256Digest found = hasher.Finish();
  if (found != map.index_sha256) {
    return Fail(Error(ErrorCode::kChecksumMismatch,
                      "the core's index has not the SHA-256 that its map holds")
                    .File(core.file().path().string())
                    .Expected(ToHex(map.index_sha256))
                    .Found(ToHex(found)));
  }
  return PageIndex(std::move(crcs));
}

std::vector<std::byte> MakeIndexPages(const MapCore& core, std::span<const uint32_t> crcs) {
  std::vector<std::byte> pages(core.index.page_count * kPageBytes);
  for (uint64_t i = 0; i < crcs.size(); ++i) {
    StoreLe(pages.data() + i / kCrcsPerIndexPage * kPageBytes + i % kCrcsPerIndexPage * 4, crcs[i]);
  }
  for (uint64_t i = 0; i < core.index.page_count; ++i) {
    SealPage(core.id, core.index.first_page + i, PageAt(pages.data(), i));
  }
  return pages;
}

}  // namespace gguf_shard
