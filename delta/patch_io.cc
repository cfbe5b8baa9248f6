#include "delta/patch_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/bytes.h"
#include "core/check.h"
#include "core/crc32.h"
#include "delta/zstd.h"

namespace gguf_shard {
namespace {

constexpr int kDirectoryZstdLevel = 12;
constexpr size_t kStageBytes = size_t{1} << 20;

Result<Patch> ReadDirectory(const File& file) {
  std::vector<std::byte> preamble_bytes(std::min(kPreambleBytes, file.size_bytes()));
  GS_TRY(file.ReadAt(0, preamble_bytes));
  GS_ASSIGN(const Preamble preamble, ParsePreamble(preamble_bytes, file.size_bytes()));
  std::vector<std::byte> stored(preamble.directory_bytes);
  GS_TRY(file.ReadAt(preamble.directory_offset, stored));
  if (Crc32(0, stored) != preamble.directory_crc) {
    return Fail(ErrorCode::kChecksumMismatch, "the directory of the patch is damaged");
  }
  std::vector<std::byte> directory(preamble.json_bytes + preamble.frame_count * kFrameEntryBytes);
  GS_TRY(ZstdDecompress(stored, directory));
  return ParseDirectory(preamble, directory);
}

}  // namespace

Result<PatchReader> PatchReader::Open(const std::filesystem::path& path) {
  GS_ASSIGN(File file, File::OpenRead(path));
  auto patch = ReadDirectory(file);
  if (!patch) {
    patch.error().SetFileIfEmpty(path.string());
    return Fail(std::move(patch.error()));
  }
  return PatchReader(std::move(file), std::move(*patch));
}

Result<std::vector<std::byte>> PatchReader::ReadPayload(uint32_t frame) const {
  GS_CHECK(frame < patch_.frames.size());
  const PatchFrame& entry = patch_.frames[frame];
  std::vector<std::byte> payload(entry.payload_bytes);
  GS_TRY(file_.ReadAt(entry.offset, payload));
  const uint32_t crc = Crc32(0, payload);
  if (crc == entry.payload_crc) return payload;
  return Fail(
      Error(ErrorCode::kChecksumMismatch, fmt::format("frame {} of the patch is damaged", frame))
          .File(file_.path().string())
          .Offset(entry.offset)
          .Expected(fmt::format("{:08x}", entry.payload_crc))
          .Found(fmt::format("{:08x}", crc)));
}

Result<PatchWriter> PatchWriter::Create(const std::filesystem::path& path, Overwrite overwrite) {
  GS_ASSIGN(OutputFile output, OutputFile::Create(path, overwrite));
  return PatchWriter(std::move(output));
}

Result<void> PatchWriter::AddFrame(uint32_t number, uint64_t sequence, PatchFrame frame,
                                   std::vector<std::byte> payload) {
  frame.payload_bytes = static_cast<uint32_t>(payload.size());
  frame.payload_crc = Crc32(0, payload);
  const std::lock_guard lock(*mutex_);
  early_.emplace(sequence, Early{number, frame, std::move(payload)});
  for (auto next = early_.begin(); next != early_.end() && next->first == next_sequence_;
       next = early_.erase(next), ++next_sequence_) {
    Early& ready = next->second;
    ready.frame.offset = next_offset_;
    if (frames_.size() <= ready.number) frames_.resize(ready.number + 1);
    frames_[ready.number] = ready.frame;
    GS_TRY(Append(ready.payload));
  }
  return {};
}

// Stages end where blocks do.
Result<void> PatchWriter::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (staged_.empty()) {
      const size_t room = kStageBytes - next_offset_ % kStageBytes;
      staged_ = staging_.Place(next_offset_, room);
    }
    const size_t count = std::min(bytes.size(), staged_.size() - staged_bytes_);
    std::memcpy(staged_.data() + staged_bytes_, bytes.data(), count);
    staged_bytes_ += count;
    next_offset_ += count;
    bytes = bytes.subspan(count);
    if (staged_bytes_ == staged_.size()) GS_TRY(WriteStaged());
  }
  return {};
}

Result<void> PatchWriter::WriteStaged() {
  const auto bytes = staged_.first(std::exchange(staged_bytes_, 0));
  staged_ = {};
  return WriteAroundCache(output_, next_offset_ - bytes.size(), bytes);
}

Result<uint64_t> PatchWriter::Finish(Patch patch) {
  GS_CHECK(early_.empty());
  patch.frames = std::move(frames_);
  const std::string json = SerializePatchJson(patch);
  if (json.size() > kMaxPatchJsonBytes || patch.frames.size() > kMaxPatchFrames) {
    return Fail(Error(ErrorCode::kTooLarge, "the patch would have a directory above the limit")
                    .Expected(kMaxPatchJsonBytes)
                    .Found(static_cast<uint64_t>(json.size())));
  }
  std::vector<std::byte> directory(AsBytes(json).begin(), AsBytes(json).end());
  const auto table = SerializeFrameTable(patch);
  directory.insert(directory.end(), table.begin(), table.end());
  const auto stored = ZstdCompress(directory, kDirectoryZstdLevel);
  Preamble preamble;
  preamble.directory_crc = Crc32(0, stored);
  preamble.directory_offset = next_offset_;
  preamble.directory_bytes = stored.size();
  preamble.json_bytes = json.size();
  preamble.frame_count = patch.frames.size();
  preamble.file_bytes = next_offset_ + stored.size();
  GS_TRY(Append(stored));
  GS_TRY(WriteStaged());
  GS_TRY(output_.WriteAt(0, SerializePreamble(preamble)));
  GS_TRY(output_.Commit());
  return preamble.file_bytes;
}

}  // namespace gguf_shard
