#include "forge/unshard.h"

#include "core/cancel.h"
#include "core/core_file.h"
#include "core/write_around.h"
#include "forge/output_place.h"
#include "forge/page_reader.h"
#include "forge/unpack.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> OutputPathsFor(const CoreFile& core, const UnshardOptions& options) {
  const fs::path directory =
      options.output_directory.empty() ? core.map_path().parent_path() : options.output_directory;
  std::vector<fs::path> paths;
  for (const MapSourceFile& file : core.map().source.files) paths.push_back(directory / file.name);
  return paths;
}

Result<std::vector<OutputFile>> CreateOutputs(const CoreMap& map,
                                              const std::vector<fs::path>& paths,
                                              Overwrite overwrite) {
  std::vector<OutputFile> outputs;
  for (size_t i = 0; i < paths.size(); ++i) {
    GS_ASSIGN(OutputFile output, OutputFile::Create(paths[i], overwrite));
    GS_TRY(output.Reserve(map.source.files[i].byte_size));
    outputs.push_back(std::move(output));
  }
  return outputs;
}

Result<SourceDigests> Reconstruct(const CoreFile& core, std::vector<OutputFile>& outputs,
                                  Progress& progress) {
  GS_ASSIGN(const PageReader reader, PageReader::Open(core));
  UnpackHandlers handlers;
  handlers.read_pages = [&reader](uint64_t first_page, std::span<std::byte> pages) {
    return reader.ReadIntact(first_page, pages);
  };
  handlers.take_source = [&outputs](const Batch& batch, std::span<const std::byte> source) {
    // A batch lies in memory as in the file, relative to blocks.
    return WriteAroundCache(outputs[batch.source_file], batch.source_offset, source);
  };
  progress.Start("unsharding", SourceBytes(core.map()));
  GS_ASSIGN(SourceDigests digests, UnpackAll(core.map(), FileHashing::kSha256, handlers, progress));
  progress.Finish();
  return digests;
}

Result<void> CompareDigests(const CoreMap& map, const SourceDigests& digests) {
  for (size_t i = 0; i < map.source.files.size(); ++i) {
    const MapSourceFile& file = map.source.files[i];
    if (file.sha256 == digests.files[i]) continue;
    return Fail(Error(ErrorCode::kChecksumMismatch,
                      "the reconstructed file has not the SHA-256 that the map promises")
                    .File(file.name)
                    .Expected(ToHex(file.sha256))
                    .Found(ToHex(digests.files[i])));
  }
  return {};
}

// All or nothing: files that got their names before one failed are removed again, unless they
// replaced something.
Result<void> CommitAll(std::vector<OutputFile>& outputs, const std::vector<fs::path>& paths,
                       Overwrite overwrite) {
  for (OutputFile& output : outputs) GS_TRY(output.Sync());
  GS_TRY(CheckCancelled());  // the last chance: from here on the job completes
  for (size_t i = 0; i < outputs.size(); ++i) {
    auto committed = outputs[i].Commit();
    if (committed) continue;
    std::error_code ignored;
    for (size_t k = 0; k < i && overwrite == Overwrite::kRefuse; ++k) {
      fs::remove(paths[k], ignored);
    }
    return committed;
  }
  return {};
}

}  // namespace

Result<UnshardReport> UnshardModel(const fs::path& map_path, const UnshardOptions& options,
                                   Progress& progress) {
  GS_ASSIGN(const CoreFile core, CoreFile::Open(map_path, Caching::kDirect));
  const CoreMap& map = core.map();
  const std::vector<fs::path> paths = OutputPathsFor(core, options);
  const fs::path inputs[] = {core.map_path(), core.file().path()};
  GS_TRY(RefuseInputs(paths, inputs));
  GS_TRY(RefuseExisting(paths, options.overwrite));

  const fs::path parent = paths.front().parent_path();
  const fs::path target = parent.empty() ? fs::path(".") : parent;
  GS_ASSIGN(OutputDirectory directory, OutputDirectory::Make(target));
  GS_TRY(CheckFreeSpace(target, SourceBytes(map)));
  GS_ASSIGN(std::vector<OutputFile> outputs, CreateOutputs(map, paths, options.overwrite));
  GS_ASSIGN(const SourceDigests digests, Reconstruct(core, outputs, progress));
  GS_TRY(CompareDigests(map, digests));
  GS_TRY(CommitAll(outputs, paths, options.overwrite));
  directory.Keep();

  UnshardReport report;
  for (size_t i = 0; i < paths.size(); ++i) {
    report.files.push_back({paths[i], map.source.files[i].byte_size, digests.files[i]});
  }
  return report;
}

}  // namespace gguf_shard
