#include "delta/apply.h"

#include "core/edit_file.h"
#include "core/write_around.h"
#include "delta/create.h"
#include "delta/source_stream.h"
#include "delta/task_group.h"

namespace gguf_shard {
namespace {

Result<void> CheckSha256(const PatchFile& file, const Sha256Digest& found) {
  if (found == file.sha256) return {};
  return Fail(Error(ErrorCode::kChecksumMismatch, "the patched file is not the patch's target")
                  .File(file.name)
                  .Expected("sha256 " + ToHex(file.sha256))
                  .Found("sha256 " + ToHex(found)));
}

// Where the target's files go, in the order of the files.
Result<std::vector<std::filesystem::path>> OutputPaths(const Patch& patch,
                                                       const std::filesystem::path& output) {
  std::error_code ignored;
  const bool is_directory = std::filesystem::is_directory(output, ignored);
  if (patch.files.size() == 1 && !is_directory) return std::vector{output};
  GS_TRY(MakeDirectories(output));
  std::vector<std::filesystem::path> paths;
  for (const PatchFile& file : patch.files) paths.push_back(output / file.name);
  return paths;
}

// Whether the piece is now shared with the base's file, where it lies as it is.
Result<bool> SharePiece(const PatchedView& target, const FilePiece& piece, OutputFile& output) {
  if (piece.kind != FilePiece::Kind::kTensor) return false;
  const auto extent = target.FindExtent(piece.index, piece.inside, piece.byte_size);
  if (!extent) return false;
  return CopyRange(*extent->file, extent->offset, output, piece.offset, piece.byte_size);
}

// Adjacent pieces of the target: what is not shared is written in as few parts as possible.
Result<void> WritePieces(const PatchedView& target, std::span<const FilePiece> pieces,
                         std::span<const std::byte> bytes, OutputFile& output,
                         ApplyReport& report) {
  const uint64_t first = pieces.front().offset;
  uint64_t written = 0;
  const auto WriteUntil = [&](uint64_t end) -> Result<void> {
    if (end == written) return {};
    report.written_bytes += end - written;
    return WriteAroundCache(output, first + written, bytes.subspan(written, end - written));
  };
  for (const FilePiece& piece : pieces) {
    GS_ASSIGN(const bool shared, SharePiece(target, piece, output));
    if (!shared) continue;
    GS_TRY(WriteUntil(piece.offset - first));
    written = piece.offset + piece.byte_size - first;
    report.shared_bytes += piece.byte_size;
  }
  return WriteUntil(bytes.size());
}

Result<OutputFile> WriteFile(const PatchReader& patch, const PatchedView& target, uint32_t index,
                             const std::filesystem::path& path, const ApplyOptions& options,
                             Progress& progress, ApplyReport& report) {
  GS_ASSIGN(OutputFile output, OutputFile::Create(path, options.overwrite));
  Sha256Hasher hasher;
  // Hashing takes as long as writing: pieces are hashed while they are written.
  TaskGroup hashing(1);
  const auto consume = [&](std::span<const FilePiece> pieces,
                           std::span<const std::byte> bytes) -> Result<void> {
    const auto hash = [&hasher, bytes]() -> Result<void> {
      hasher.Update(bytes);
      return {};
    };
    GS_TRY(hashing.Submit(hash));
    auto written = WritePieces(target, pieces, bytes, output, report);
    GS_TRY(hashing.Wait());
    return written;
  };
  GS_TRY(StreamFile(target, index, ThreadCountOr(options.thread_count), progress, consume));
  GS_TRY(CheckSha256(patch.patch().files[index], hasher.Finish()));
  return output;
}

}  // namespace

Result<ApplyReport> ApplyToGguf(const PatchReader& patch, const PatchedView& target,
                                const std::filesystem::path& output, const ApplyOptions& options,
                                Progress& progress) {
  GS_ASSIGN(const auto paths, OutputPaths(patch.patch(), output));
  const auto parent = paths.front().parent_path();
  GS_TRY(CheckFreeSpace(parent.empty() ? "." : parent, target.total_bytes()));
  progress.Start("applying", target.total_bytes());
  ApplyReport report;
  std::vector<OutputFile> outputs;
  for (uint32_t i = 0; i < paths.size(); ++i) {
    GS_ASSIGN(OutputFile file, WriteFile(patch, target, i, paths[i], options, progress, report));
    outputs.push_back(std::move(file));
  }
  for (OutputFile& file : outputs) GS_TRY(file.Commit());
  progress.Finish();
  report.files = paths;
  return report;
}

Result<void> ProveTarget(const PatchReader& patch, const ModelView& target, uint32_t thread_count,
                         Progress& progress) {
  progress.Start("proving", target.total_bytes());
  for (uint32_t i = 0; i < target.files().size(); ++i) {
    GS_ASSIGN(const Sha256Digest digest,
              HashFile(target, i, ThreadCountOr(thread_count), progress));
    GS_TRY(CheckSha256(patch.patch().files[i], digest));
  }
  progress.Finish();
  return {};
}

}  // namespace gguf_shard
