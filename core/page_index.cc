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

}  // namespace gguf_shard
