#include "core/core_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "core/core_commit.h"
#include "core/gguf_writer.h"
#include "core/page_index.h"

namespace gguf_shard {
namespace {

struct CoreTensorEntry {
  std::string name;
  PageRange pages;
};

PageRange Join(PageRange a, PageRange b) {
  if (a.page_count == 0) return b;
  return {a.first_page, b.end_page() - a.first_page};
}

// What owns the core's pages, in page order: one tensor of core.gguf each.
std::vector<CoreTensorEntry> CoreTensors(const CoreMap& map) {
  PageRange headers;
  PageRange gaps;
  for (const auto& file : map.source.files) {
    headers = Join(headers, file.header);
    for (const auto& gap : file.gaps) gaps = Join(gaps, gap.pages);
  }
  std::vector<CoreTensorEntry> entries;
  entries.push_back({std::string(kSourceHeaderTensor), headers});
  for (const auto& tensor : map.tensors) entries.push_back({tensor.name, tensor.pages()});
  entries.push_back({std::string(kGapsTensor), gaps});
  entries.push_back({std::string(kIndexTensor), map.core.index});
  for (size_t i = 0; i < map.core.unused.size(); ++i) {
    entries.push_back({fmt::format("{}{}", kUnusedTensorPrefix, i), map.core.unused[i]});
  }
  std::erase_if(entries, [](const auto& entry) { return entry.pages.page_count == 0; });
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.pages.first_page < b.pages.first_page; });
  return entries;
}

template <typename T>
Result<void> CheckEqual(std::string_view what, const T& in_map, const T& in_core) {
  if (in_map == in_core) return {};
  return Fail(Error(ErrorCode::kMismatch,
                    fmt::format("the map does not belong to this core: {} differs", what))
                  .Expected(fmt::format("{}", in_map))
                  .Found(fmt::format("{}", in_core)));
}

Result<void> CheckKeys(const CoreMap& map, const GgufHeader& header) {
  GS_ASSIGN(const std::string_view architecture, header.GetString("general.architecture"));
  if (architecture != kCoreArchitecture) {
    return Fail(Error(ErrorCode::kMismatch, "the file is a GGUF, but not a core")
                    .Expected(std::string(kCoreArchitecture))
                    .Found(std::string(architecture)));
  }
  GS_ASSIGN(const uint64_t version, header.GetUint(kKeyVersion));
  GS_TRY(CheckEqual<uint64_t>("version", kMapVersion, version));
  GS_ASSIGN(const std::string_view id, header.GetString(kKeyCoreId));
  GS_TRY(CheckEqual<std::string_view>("core id", CoreIdToHex(map.core.id), id));
  GS_ASSIGN(const uint64_t page_bytes, header.GetUint(kKeyPageBytes));
  GS_TRY(CheckEqual<uint64_t>("page size", kPageBytes, page_bytes));
  GS_ASSIGN(const uint64_t page_count, header.GetUint(kKeyPageCount));
  GS_TRY(CheckEqual("page count", map.core.page_count, page_count));
  GS_TRY(CheckEqual("data offset", map.core.data_offset, header.data_offset));
  GS_ASSIGN(const std::string_view layout, header.GetString(kKeyLayoutDigest));
  return CheckEqual<std::string_view>("the layout's SHA-256", ToHex(LayoutDigest(map)), layout);
}

Result<void> CheckTensors(const CoreMap& map, const GgufHeader& header) {
  const auto entries = CoreTensors(map);
  GS_TRY(CheckEqual<uint64_t>("tensor count", entries.size(), header.tensors.size()));
  for (size_t i = 0; i < entries.size(); ++i) {
    const GgufTensor& tensor = header.tensors[i];
    GS_TRY(CheckEqual<std::string_view>("tensor name", entries[i].name, tensor.name));
    const std::string name(entries[i].name);
    GS_TRY(CheckEqual("offset of " + name, entries[i].pages.first_page * kPageBytes,
                      tensor.data_offset));
    GS_TRY(
        CheckEqual("size of " + name, entries[i].pages.page_count * kPageBytes, tensor.byte_size));
  }
  return {};
}

Result<void> CheckBelongsTogether(const CoreMap& map, const File& file) {
  GS_ASSIGN(const GgufHeader header, ReadGgufHeader(file));
  GS_TRY(CheckKeys(map, header));
  GS_TRY(CheckTensors(map, header));
  const uint64_t needed_bytes = map.core.data_offset + map.core.page_count * kPageBytes;
  if (file.size_bytes() != needed_bytes) {
    return Fail(Error(ErrorCode::kTruncated, "the core has not the size that its map says")
                    .Expected(needed_bytes)
                    .Found(file.size_bytes()));
  }
  return {};
}

}  // namespace

std::vector<std::byte> SerializeCoreHeader(const CoreMap& map) {
  GgufWriter writer(kPageBytes);
  writer.AddString("general.architecture", kCoreArchitecture);
  writer.AddString("general.name", map.source.name);
  writer.AddUint32(kKeyVersion, kMapVersion);
  writer.AddString(kKeyCoreId, CoreIdToHex(map.core.id));
  writer.AddUint32(kKeyPageBytes, kPageBytes);
  writer.AddUint64(kKeyPageCount, map.core.page_count);
  writer.AddString(kKeyLayoutDigest, ToHex(LayoutDigest(map)));
  for (const auto& entry : CoreTensors(map)) {
    const uint64_t byte_size[] = {entry.pages.page_count * kPageBytes};
    writer.AddTensor(entry.name, TensorType::kI8, byte_size, entry.pages.first_page * kPageBytes);
  }
  return writer.Serialize();
}

namespace {

// While a patch is applied in place, or was and something ended that, the core has no map but a
// journal (delta/in_place.h).
Result<void> RefuseUnfinishedPatch(const std::filesystem::path& map_path) {
  auto journal = map_path;
  journal.replace_extension(".gguf");
  journal += ".journal";
  std::error_code ignored;
  if (std::filesystem::exists(map_path, ignored) || !std::filesystem::exists(journal, ignored)) {
    return {};
  }
  return Fail(
      Error(ErrorCode::kNotFound,
            "the core is being patched in place, or that was interrupted: then `gguf-shard verify` "
            "with its directory, like every command that opens it, returns to the base")
          .File(map_path.string()));
}

}  // namespace

Result<CoreFile> CoreFile::OpenWithMap(const std::filesystem::path& path,
                                       const std::filesystem::path& text_path, Caching caching) {
  GS_TRY(RefuseUnfinishedPatch(text_path));
  GS_ASSIGN(const std::string json, ReadWholeFile(text_path, kMaxMapBytes));
  auto map = ParseMap(json);
  if (!map) {
    map.error().SetFileIfEmpty(text_path.string());
    return Fail(std::move(map.error()));
  }
  const std::filesystem::path core_path = path.parent_path() / map->core.file;
  {
    // The header is parsed through the page cache: its reads are not aligned for direct I/O.
    GS_ASSIGN(const File buffered, File::OpenRead(core_path));
    auto together = CheckBelongsTogether(*map, buffered);
    if (!together) {
      together.error().SetFileIfEmpty(core_path.string());
      return Fail(std::move(together.error()));
    }
    buffered.DropCache(0, map->core.data_offset);
  }
  GS_ASSIGN(File file, File::OpenRead(core_path, caching));
  return CoreFile(std::move(*map), std::move(file), path);
}

Result<CoreFile> CoreFile::Open(const std::filesystem::path& map_path, Caching caching) {
  std::error_code ignored;
  const bool is_directory = std::filesystem::is_directory(map_path, ignored);
  const std::filesystem::path path = is_directory ? map_path / kMapFileName : map_path;
  auto opened = OpenWithMap(path, path, caching);
  if (opened) return opened;
  // Interrupted between core and map (core/core_commit.h): the new map is there, by another name.
  auto next = OpenWithMap(path, NextMapPath(path), caching);
  return next ? std::move(next) : std::move(opened);
}

CoreFile CoreFile::WithOverlay(CoreFile core, CoreMap map,
                               std::shared_ptr<const PageOverlay> overlay) {
  CoreFile overlaid(std::move(map), std::move(core.file_), std::move(core.map_path_));
  overlaid.overlay_ = std::move(overlay);
  return overlaid;
}

Result<void> CoreFile::ReadRaw(uint64_t first_page, std::span<std::byte> target) const {
  GS_CHECK(target.size() % kPageBytes == 0);
  GS_CHECK(first_page + target.size() / kPageBytes <= map_.core.page_count);
  if (overlay_) return overlay_->ReadRaw(first_page, target);
  return file_.ReadAt(page_offset(first_page), target);
}

Result<void> CoreFile::LoadIndex() {
  GS_CHECK(!overlay_);
  GS_ASSIGN(PageIndex index, PageIndex::Load(*this));
  index_ = std::make_shared<const PageIndex>(std::move(index));
  return {};
}

void CoreFile::ShareIndexOf(const CoreFile& other) {
  GS_CHECK(!overlay_ && other.index_);
  GS_CHECK(map_.core.id == other.map_.core.id &&
           map_.core.index_sha256 == other.map_.core.index_sha256);
  index_ = other.index_;
}

std::optional<uint32_t> CoreFile::ListedCrc(uint64_t page_index) const {
  if (overlay_) return overlay_->ListedCrc(page_index);
  return index_ ? index_->Crc(page_index) : std::nullopt;
}

Result<void> CoreFile::CheckOne(uint64_t page_index,
                                std::span<const std::byte, kPageBytes> page) const {
  GS_TRY(CheckPage(map_.core.id, page_index, page));
  const auto listed = ListedCrc(page_index);
  return listed ? CheckListedCrc(page_index, *listed, StoredPageCrc(page)) : Result<void>();
}

// Also after a read that failed, each page gets its second chance.
Result<void> CoreFile::ReadPages(uint64_t first_page, std::span<std::byte> target) const {
  const bool read = ReadRaw(first_page, target).has_value();
  for (uint64_t i = 0; i < target.size() / kPageBytes; ++i) {
    const auto page = PageAt(target.data(), i);
    if (read && CheckOne(first_page + i, page)) continue;
    Result<void> again = ReadRaw(first_page + i, page);
    if (again) again = CheckOne(first_page + i, page);
    if (again) continue;
    again.error().SetFileIfEmpty(file_.path().string());
    return Fail(std::move(again.error()).Tensor(PageOwner(first_page + i)).Page(first_page + i));
  }
  return {};
}

std::string CoreFile::PageOwner(uint64_t page_index) const {
  for (const auto& entry : CoreTensors(map_)) {
    if (page_index >= entry.pages.first_page && page_index < entry.pages.end_page()) {
      return entry.name;
    }
  }
  return "no tensor";
}

Result<std::vector<std::byte>> CoreFile::ReadBytes(PageRange pages, uint64_t byte_size) const {
  GS_CHECK(byte_size <= pages.page_count * kPageContentBytes);
  std::vector<std::byte> bytes(byte_size);
  // Direct I/O wants aligned memory; 64 pages at a time keep the disk busy enough.
  constexpr uint64_t kStepPages = 64;
  alignas(kDirectAlignment) std::array<std::byte, kStepPages * kPageBytes> buffer;
  const uint64_t page_count = DivCeil(byte_size, kPageContentBytes);
  for (uint64_t page = 0; page < page_count; ++page) {
    if (page % kStepPages == 0) {
      const uint64_t step_bytes = std::min(kStepPages, page_count - page) * kPageBytes;
      GS_TRY(ReadPages(pages.first_page + page, std::span(buffer).first(step_bytes)));
    }
    const uint64_t offset = page * kPageContentBytes;
    const uint64_t length = std::min<uint64_t>(kPageContentBytes, byte_size - offset);
    std::memcpy(bytes.data() + offset, buffer.data() + page % kStepPages * kPageBytes, length);
  }
  return bytes;
}

Result<GgufHeader> CoreFile::ReadSourceHeader(uint32_t source_file) const {
  GS_CHECK(source_file < map_.source.files.size());
  const MapSourceFile& file = map_.source.files[source_file];
  GS_ASSIGN(const auto bytes, ReadBytes(file.header, file.header_bytes));
  return ParseGgufHeader(bytes, file.byte_size);
}

}  // namespace gguf_shard
