#include "forge/core_writer.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/core_file.h"

namespace gguf_shard {

Result<CoreWriter> CoreWriter::Create(const std::filesystem::path& path, Overwrite overwrite,
                                      const CoreMap& plan) {
  GS_ASSIGN(OutputFile output, OutputFile::Create(path, overwrite));
  CoreWriter writer(std::move(output), plan.core);
  GS_TRY(writer.output_.Reserve(writer.PageOffset(plan.core.page_count)));
  // Gives the file its full length where space cannot be reserved: the index is read back.
  const std::vector<std::byte> zero_page(kPageBytes);
  GS_TRY(writer.output_.WriteAt(writer.PageOffset(plan.core.page_count - 1), zero_page));
  return writer;
}

Result<void> CoreWriter::WritePages(uint64_t first_page, std::span<std::byte> pages) {
  GS_CHECK(pages.size() % kPageBytes == 0);
  const uint64_t page_count = pages.size() / kPageBytes;
  GS_CHECK(first_page + page_count <= core_.index.first_page);
  std::vector<uint32_t> crcs(page_count);
  for (uint64_t i = 0; i < page_count; ++i) {
    crcs[i] = SealPage(core_.id, first_page + i, PageAt(pages.data(), i));
  }
  GS_TRY(output_.WriteDirectAt(PageOffset(first_page), pages));
  return WriteCrcs(first_page, crcs);
}

Result<void> CoreWriter::WriteCrcs(uint64_t first_page, std::span<const uint32_t> crcs) {
  while (!crcs.empty()) {
    const uint64_t slot = first_page % kCrcsPerIndexPage;
    const auto in_page = crcs.first(std::min<uint64_t>(crcs.size(), kCrcsPerIndexPage - slot));
    const uint64_t index_page = core_.index.first_page + first_page / kCrcsPerIndexPage;
    GS_TRY(output_.WriteAt(PageOffset(index_page) + slot * 4, std::as_bytes(in_page)));
    first_page += in_page.size();
    crcs = crcs.subspan(in_page.size());
  }
  return {};
}

Result<Sha256Digest> CoreWriter::FinishIndex() {
  constexpr uint64_t kStepPages = 64;
  Sha256Hasher hasher;
  std::vector<std::byte> buffer(kStepPages * kPageBytes);
  for (uint64_t page = core_.index.first_page; page < core_.index.end_page(); page += kStepPages) {
    const uint64_t count = std::min(kStepPages, core_.index.end_page() - page);
    const auto pages = std::span(buffer).first(count * kPageBytes);
    GS_TRY(output_.ReadAt(PageOffset(page), pages));
    for (uint64_t i = 0; i < count; ++i) SealPage(core_.id, page + i, PageAt(pages.data(), i));
    hasher.Update(pages);
    GS_TRY(output_.WriteAt(PageOffset(page), pages));
  }
  return hasher.Finish();
}

Result<void> CoreWriter::WriteHeader(const CoreMap& map) {
  const std::vector<std::byte> header = SerializeCoreHeader(map);
  GS_CHECK(header.size() == core_.data_offset);
  return output_.WriteAt(0, header);
}

}  // namespace gguf_shard
