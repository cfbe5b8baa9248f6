#include "forge/shard.h"

#include <sys/random.h>

#include <regex>

#include "core/bytes.h"
#include "core/cancel.h"
#include "core/core_file.h"
#include "core/gguf_model.h"
#include "forge/core_writer.h"
#include "forge/output_place.h"
#include "forge/source_gaps.h"
#include "forge/source_hasher.h"
#include "forge/source_reader.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

Result<CoreId> RandomCoreId() {
  CoreId id;
  if (getrandom(id.data(), id.size(), 0) == static_cast<ssize_t>(id.size())) return id;
  return Fail(ErrorCode::kIo, "the operating system gave no random bytes for the core's id");
}

Result<void> CheckOptions(const ShardOptions& options) {
  const std::string& name = options.name;
  if (name.empty() || name.size() > 200 || name.front() == '.' ||
      name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
    return Fail(Error(ErrorCode::kInvalidArgument, "the name of a core must be a plain file name")
                    .Found(name));
  }
  if (options.prefetch_distance > 65536) {
    return Fail(Error(ErrorCode::kInvalidArgument, "the prefetch distance is out of range")
                    .Expected("at most 65536 shards")
                    .Found(options.prefetch_distance));
  }
  return {};
}

struct OutputPaths {
  fs::path directory;
  fs::path core;
  fs::path map;
};

OutputPaths OutputPathsFor(const fs::path& model, const ShardOptions& options) {
  const fs::path directory =
      options.output_directory.empty() ? DefaultShardDirectory(model) : options.output_directory;
  return {directory, directory / (options.name + ".gguf"), directory / (options.name + ".sgmap")};
}

Result<void> CheckOutputs(const OutputPaths& paths, const GgufModel& model, Overwrite overwrite) {
  const fs::path outputs[] = {paths.core, paths.map};
  std::vector<fs::path> inputs;
  for (const GgufPart& part : model.parts) inputs.push_back(part.path);
  GS_TRY(RefuseInputs(outputs, inputs));
  return RefuseExisting(outputs, overwrite);
}

// Reads, packs and writes the whole source; returns its digests.
Result<SourceDigests> PackAll(const GgufModel& model, const CoreMap& plan, CoreWriter& writer,
                              uint64_t buffer_bytes, Progress& progress) {
  GS_ASSIGN(const SourceReader reader, SourceReader::Open(model));
  GS_ASSIGN(const std::vector<Segment> segments, SegmentsOf(plan));
  BatchCursor cursor(segments);
  SourceHasher hasher(plan, segments, FileHashing::kSha256);

  PipelineStages stages;
  stages.next = [&] { return cursor.Next(); };
  stages.load = [&](BatchWork& work) -> Result<void> {
    const Batch& batch = work.batch;
    GS_ASSIGN(work.source, reader.Read(batch.source_file, batch.source_offset, batch.source_bytes,
                                       work.source_window));
    return {};
  };
  stages.work = [&](BatchWork& work) -> Result<void> {
    for (const BatchPiece& piece : work.batch.pieces) {
      if (piece.page_count == 0) continue;
      PackPiece(segments[piece.segment_index], piece, work.source, work.pages);
      GS_TRY(writer.WritePages(
          piece.first_page,
          work.pages.subspan(piece.offset_in_pages, piece.page_count * kPageBytes)));
    }
    return {};
  };
  stages.finish = [&](BatchWork& work) -> Result<void> {
    hasher.Update(work.batch, work.source);
    progress.Advance(work.batch.source_bytes);
    return {};
  };
  progress.Start("sharding", model.total_file_bytes());
  GS_TRY(RunPipeline(stages, buffer_bytes));
  progress.Finish();
  return hasher.Finish();
}

void FillDigests(const SourceDigests& digests, const Sha256Digest& index_sha256, CoreMap& map) {
  for (size_t i = 0; i < digests.files.size(); ++i) map.source.files[i].sha256 = digests.files[i];
  for (size_t i = 0; i < digests.tensors.size(); ++i) map.tensors[i].digest = digests.tensors[i];
  map.core.index_sha256 = index_sha256;
}

// The map as it will be read: nothing is published that this program would refuse.
Result<std::string> SerializeChecked(const CoreMap& map) {
  std::string text = SerializeMap(map);
  GS_ASSIGN(const CoreMap parsed, ParseMap(text));
  for (size_t i = 0; i < map.source.files.size(); ++i) {
    const std::string& name = map.source.files[i].name;
    if (parsed.source.files[i].name == name) continue;
    return Fail(
        Error(ErrorCode::kUnsupported, "the model's file name is not UTF-8: rename it").File(name));
  }
  return text;
}

}  // namespace

fs::path DefaultShardDirectory(const fs::path& model) {
  static const std::regex kPartNumber("-[0-9]{5}-of-[0-9]{5}$");
  const std::string stem = model.stem().string();
  return model.parent_path() / (std::regex_replace(stem, kPartNumber, "") + ".shard");
}

Result<ShardReport> ShardModel(const fs::path& model_path, const ShardOptions& options,
                               Progress& progress) {
  GS_TRY(CheckOptions(options));
  GS_ASSIGN(const GgufModel model, OpenGgufModel(model_path));
  const OutputPaths paths = OutputPathsFor(model_path, options);
  GS_TRY(CheckOutputs(paths, model, options.overwrite));

  GS_ASSIGN(const std::vector<SourceGap> gaps, FindSourceGaps(model));
  PlanOptions plan_options{
      options.layout, options.prefetch_distance, paths.core.filename().string(), {}};
  if (options.core_id) {
    plan_options.core_id = *options.core_id;
  } else {
    GS_ASSIGN(plan_options.core_id, RandomCoreId());
  }
  ShardReport report{paths.core, paths.map};
  GS_ASSIGN(report.map, PlanCore(model, gaps, plan_options));
  // Digests have a fixed length in the map: the plan's text is as long as the final one.
  GS_ASSIGN(const std::string draft, SerializeChecked(report.map));
  report.source_bytes = model.total_file_bytes();
  report.core_bytes = report.map.core.data_offset + report.map.core.page_count * kPageBytes;

  GS_ASSIGN(OutputDirectory directory, OutputDirectory::Make(paths.directory));
  GS_TRY(CheckFreeSpace(paths.directory, report.core_bytes + draft.size()));
  GS_ASSIGN(CoreWriter writer, CoreWriter::Create(paths.core, options.overwrite, report.map));
  GS_ASSIGN(const SourceDigests digests,
            PackAll(model, report.map, writer, options.buffer_bytes, progress));
  GS_ASSIGN(const Sha256Digest index_sha256, writer.FinishIndex());
  FillDigests(digests, index_sha256, report.map);
  GS_TRY(writer.WriteHeader(report.map));
  GS_ASSIGN(const std::string map_text, SerializeChecked(report.map));
  GS_TRY(writer.Sync());
  GS_TRY(CheckCancelled());  // the last chance: from here on the job completes
  GS_TRY(writer.Commit(paths.map, map_text, options.overwrite));
  directory.Keep();
  return report;
}

}  // namespace gguf_shard
