#include "validate/core_actions.h"

#include <algorithm>
#include <system_error>
#include <vector>

#include "core/file.h"
#include "delta/apply.h"
#include "delta/in_place.h"
#include "forge/verify.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

Result<void> CopyFile(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (!error) return {};
  return Fail(Error(error == std::errc::no_space_on_device ? ErrorCode::kNoSpace : ErrorCode::kIo,
                    "cannot copy: " + error.message())
                  .File(from.string()));
}

}  // namespace

Result<Sha256Digest> DigestOf(const fs::path& path) {
  constexpr uint64_t kChunkBytes = uint64_t{4} << 20;
  GS_ASSIGN(const File file, File::OpenRead(path));
  Sha256Hasher hasher;
  std::vector<std::byte> buffer(std::min(kChunkBytes, file.size_bytes()));
  for (uint64_t at = 0; at < file.size_bytes();) {
    const auto chunk = std::span(buffer).first(
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), file.size_bytes() - at)));
    GS_TRY(file.ReadAt(at, chunk));
    hasher.Update(chunk);
    at += chunk.size();
  }
  return hasher.Finish();
}

Result<fs::path> CopyCore(const CoreFile& core, const fs::path& folder) {
  GS_TRY(CheckFreeSpace(folder, core.file().size_bytes() * 3));
  const fs::path map = folder / core.map_path().filename();
  GS_TRY(CopyFile(core.map_path(), map));
  GS_TRY(CopyFile(core.file().path(), folder / core.file().path().filename()));
  return map;
}

Result<void> PatchInPlace(const fs::path& map, const fs::path& patch, Progress& progress) {
  GS_ASSIGN(const CoreFile core, CoreFile::Open(map));
  GS_ASSIGN(const auto base, ViewCore(core));
  GS_ASSIGN(const PatchReader reader, PatchReader::Open(patch));
  GS_TRY(CheckBase(reader.patch(), *base, true));
  GS_ASSIGN(const auto view, PatchedView::Create(reader, *base));
  GS_TRY(ApplyInPlace(reader, *view, core, ApplyOptions(), progress));
  return {};
}

Result<bool> IsIntact(const fs::path& map, Progress& progress) {
  GS_ASSIGN(const VerifyReport report, VerifyCore(map, VerifyDepth::kFull, progress));
  return report.intact();
}

}  // namespace gguf_shard
