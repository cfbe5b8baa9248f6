#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/crc32.h"
#include "core/gguf.h"
#include "core/json_view.h"
#include "delta/byte_stream.h"
#include "delta/patch.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxFiles = 4096;
constexpr uint64_t kMaxTensors = uint64_t{1} << 20;
constexpr uint64_t kMaxSpans = uint64_t{1} << 21;
constexpr uint64_t kMaxBytes = uint64_t{1} << 52;

Error BadFrame(size_t index, std::string_view what) {
  return Error(ErrorCode::kMalformed, fmt::format("frame {} of the patch {}", index, what));
}

Result<PatchFrame> ReadFrame(size_t index, ByteReader& table) {
  PatchFrame frame;
  GS_ASSIGN(frame.offset, table.Get<uint64_t>());
  GS_ASSIGN(frame.payload_bytes, table.Get<uint32_t>());
  GS_ASSIGN(frame.payload_crc, table.Get<uint32_t>());
  GS_ASSIGN(frame.target_bytes, table.Get<uint32_t>());
  GS_ASSIGN(const uint16_t target_type, table.Get<uint16_t>());
  GS_ASSIGN(const uint16_t base_type, table.Get<uint16_t>());
  GS_ASSIGN(const uint32_t method, table.Get<uint32_t>());
  GS_ASSIGN(const uint32_t zero, table.Get<uint32_t>());
  if (method >= kFrameMethodCount || zero != 0) return Fail(BadFrame(index, "has no known method"));
  frame.method = static_cast<FrameMethod>(method);
  const TensorTypeInfo* target_info = FindTensorType(target_type);
  if (target_info == nullptr) return Fail(BadFrame(index, "has an unknown type"));
  frame.types.target_type = target_info->type;
  if (base_type != kNoBaseType) {
    const TensorTypeInfo* base_info = FindTensorType(base_type);
    if (base_info == nullptr) return Fail(BadFrame(index, "has an unknown base type"));
    frame.types.base_type = base_info->type;
  }
  const bool header = frame.method == FrameMethod::kBytes;
  const uint64_t limit = header ? kMaxPatchHeaderBytes : kMaxFrameTargetBytes;
  if (frame.target_bytes == 0 || frame.target_bytes > limit) {
    return Fail(BadFrame(index, "has a size outside of the limits")
                    .Expected(limit)
                    .Found(uint64_t{frame.target_bytes}));
  }
  if (!header && frame.payload_bytes > kMaxFramePayloadBytes) {
    return Fail(BadFrame(index, "has a payload above the limit")
                    .Expected(kMaxFramePayloadBytes)
                    .Found(uint64_t{frame.payload_bytes}));
  }
  if (header ? frame.types.base_type.has_value() || target_info->type != TensorType::kI8
             : FrameBaseBytes(frame.types, frame.target_bytes).value_or(kMaxBytes) >
                       kMaxFrameBaseBytes ||
                   frame.target_bytes % target_info->block_bytes != 0) {
    return Fail(BadFrame(index, "does not hold whole blocks of its types"));
  }
  return frame;
}

// Frames, in the order of their offsets, must fill [64, directory_offset).
Result<void> CheckFramePlaces(const std::vector<PatchFrame>& frames, uint64_t directory_offset) {
  std::vector<uint32_t> order(frames.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return frames[a].offset < frames[b].offset; });
  uint64_t next = kPreambleBytes;
  for (const uint32_t i : order) {
    if (frames[i].offset != next || frames[i].payload_bytes > directory_offset - next) {
      return Fail(BadFrame(i, "overlaps another or leaves the file").Offset(frames[i].offset));
    }
    next += frames[i].payload_bytes;
  }
  if (next == directory_offset) return {};
  return Fail(
      Error(ErrorCode::kMalformed, "the patch has bytes that belong to no frame").Offset(next));
}

// Hands out frames to their users: each is used completely, by one kind of user.
class FrameUse {
 public:
  explicit FrameUse(const std::vector<PatchFrame>& frames)
      : frames_(frames), used_bytes_(frames.size(), 0) {}

  // The whole frame: for headers and gaps.
  Result<void> TakeWhole(uint64_t frame, uint64_t byte_size, bool header) {
    const bool is_header = frames_[frame].method == FrameMethod::kBytes;
    if (used_bytes_[frame] != 0 || frames_[frame].target_bytes != byte_size ||
        is_header != header ||
        (!header && (frames_[frame].types != FrameTypes{TensorType::kI8, std::nullopt}))) {
      return Fail(BadFrame(frame, "does not fit its use"));
    }
    used_bytes_[frame] = byte_size;
    return {};
  }
  Result<void> TakePart(uint64_t frame, uint64_t byte_size) {
    if (frames_[frame].method == FrameMethod::kBytes ||
        byte_size > frames_[frame].target_bytes - used_bytes_[frame]) {
      return Fail(BadFrame(frame, "is used beyond its size"));
    }
    used_bytes_[frame] += byte_size;
    return {};
  }
  Result<void> CheckAllUsed() const {
    for (size_t i = 0; i < frames_.size(); ++i) {
      if (used_bytes_[i] != frames_[i].target_bytes) {
        return Fail(BadFrame(i, "is not used completely"));
      }
    }
    return {};
  }

 private:
  const std::vector<PatchFrame>& frames_;
  std::vector<uint64_t> used_bytes_;
};

class DirectoryParser {
 public:
  explicit DirectoryParser(Patch& patch) : patch_(patch), use_(patch.frames) {}

  Result<void> Parse(const JsonView& root) {
    GS_ASSIGN(const std::string level, root.String("level", 16));
    const auto known_level = DeltaLevelFromName(level);
    if (!known_level) return Fail(root.Malformed("level", "is unknown").Found(level));
    patch_.level = *known_level;
    GS_TRY(ParseBase(root));
    GS_TRY(ParseTarget(root));
    GS_ASSIGN(const JsonView deleted, root.Array("deleted", kMaxTensors));
    for (size_t i = 0; i < deleted.size(); ++i) {
      GS_ASSIGN(std::string name, deleted[i].AsString(kMaxGgufNameBytes));
      patch_.deleted.push_back(std::move(name));
    }
    GS_TRY(ParseTensors(root));
    return use_.CheckAllUsed();
  }

 private:
  Result<void> ParseBase(const JsonView& root) {
    GS_ASSIGN(const JsonView base, root.Object("base"));
    GS_TRY(base.Hex("digest", patch_.base_digest));
    GS_ASSIGN(const JsonView files, base.Array("files", kMaxFiles));
    for (size_t i = 0; i < files.size(); ++i) {
      PatchBaseFile file;
      GS_ASSIGN(file.name, files[i].String("name", 255));
      GS_ASSIGN(file.byte_size, files[i].Uint("bytes", kMaxBytes));
      patch_.base_files.push_back(std::move(file));
    }
    return {};
  }

  Result<void> ParseTarget(const JsonView& root) {
    GS_ASSIGN(const JsonView target, root.Object("target"));
    GS_TRY(target.Hex("digest", patch_.target_digest));
    GS_ASSIGN(const JsonView files, target.Array("files", kMaxFiles));
    if (files.size() == 0) return Fail(target.Malformed("files", "is empty"));
    std::unordered_set<std::string> names;
    for (size_t i = 0; i < files.size(); ++i) {
      GS_ASSIGN(PatchFile file, ParseFile(files[i]));
      if (!names.insert(file.name).second) {
        return Fail(files[i].Malformed("name", "appears twice").Found(file.name));
      }
      patch_.files.push_back(std::move(file));
    }
    return {};
  }

  Result<uint64_t> FrameNumber(const JsonView& object) const {
    if (patch_.frames.empty()) return Fail(object.Malformed("frame", "names a missing frame"));
    return object.Uint("frame", patch_.frames.size() - 1);
  }

  Result<PatchFile> ParseFile(const JsonView& object) {
    PatchFile file;
    GS_ASSIGN(file.name, object.String("name", 255));
    if (file.name.empty() || file.name == "." || file.name == ".." ||
        file.name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      return Fail(object.Malformed("name", "is not a plain file name").Found(file.name));
    }
    GS_ASSIGN(file.byte_size, object.Uint("bytes", kMaxBytes));
    GS_TRY(object.Hex("sha256", file.sha256));
    GS_ASSIGN(const JsonView header, object.Object("header"));
    GS_ASSIGN(file.header_bytes,
              header.Uint("bytes", std::min(file.byte_size, kMaxPatchHeaderBytes)));
    GS_ASSIGN(const uint64_t frame, FrameNumber(header));
    GS_TRY(use_.TakeWhole(frame, file.header_bytes, true));
    file.header_frame = static_cast<uint32_t>(frame);
    if (!object.Has("gaps")) return file;
    GS_ASSIGN(const JsonView gaps, object.Array("gaps", kMaxTensors));
    uint64_t position = file.header_bytes;
    for (size_t i = 0; i < gaps.size(); ++i) {
      GS_ASSIGN(const PatchGap gap, ParseGap(gaps[i], position, file.byte_size));
      position = gap.offset + gap.byte_size;
      file.gaps.push_back(gap);
    }
    return file;
  }

  Result<PatchGap> ParseGap(const JsonView& object, uint64_t position, uint64_t file_bytes) {
    PatchGap gap;
    GS_ASSIGN(gap.offset, object.Uint("offset", file_bytes));
    if (gap.offset < position) return Fail(object.Malformed("offset", "overlaps the gap before"));
    GS_ASSIGN(gap.byte_size, object.Uint("bytes", file_bytes - gap.offset));
    GS_ASSIGN(const uint64_t frame, FrameNumber(object));
    GS_TRY(use_.TakeWhole(frame, gap.byte_size, false));
    gap.frame = static_cast<uint32_t>(frame);
    return gap;
  }

  Result<void> ParseTensors(const JsonView& root) {
    GS_ASSIGN(const JsonView tensors, root.Array("tensors", kMaxTensors));
    std::unordered_set<std::string> names;
    for (size_t i = 0; i < tensors.size(); ++i) {
      PatchTensor tensor;
      GS_ASSIGN(tensor.name, tensors[i].String("tensor", kMaxGgufNameBytes));
      if (!names.insert(tensor.name).second) {
        return Fail(tensors[i].Malformed("tensor", "appears twice").Found(tensor.name));
      }
      if (tensors[i].Has("base")) {
        GS_ASSIGN(tensor.base_name, tensors[i].String("base", kMaxGgufNameBytes));
      }
      GS_ASSIGN(const JsonView spans, tensors[i].Array("spans", kMaxSpans));
      tensor.spans.reserve(spans.size());
      for (size_t s = 0; s < spans.size(); ++s) {
        GS_ASSIGN(const PatchSpan span, ParseSpan(spans[s], tensor));
        tensor.spans.push_back(span);
      }
      patch_.tensors.push_back(std::move(tensor));
    }
    return {};
  }

  Result<PatchSpan> ParseSpan(const JsonView& entry, const PatchTensor& tensor) {
    if (!entry.value().is_array() || entry.size() < 2 || entry.size() > 3) {
      return Fail(
          Error(ErrorCode::kMalformed, entry.path() + " is not a span").Tensor(tensor.name));
    }
    PatchSpan span;
    GS_ASSIGN(span.byte_size, entry[0].AsUint(kMaxBytes));
    GS_ASSIGN(span.base_offset, entry[1].AsUint(kMaxBytes));
    if (span.byte_size == 0) {
      return Fail(Error(ErrorCode::kMalformed, entry.path() + " is empty").Tensor(tensor.name));
    }
    bool needs_base = true;
    if (entry.size() == 3) {
      GS_ASSIGN(const uint64_t frame, entry[2].AsUint(kMaxPatchFrames));
      if (frame >= patch_.frames.size()) {
        return Fail(Error(ErrorCode::kMalformed, entry.path() + " names a missing frame")
                        .Tensor(tensor.name)
                        .Found(frame));
      }
      GS_TRY(use_.TakePart(frame, span.byte_size));
      span.frame = static_cast<uint32_t>(frame);
      needs_base = patch_.frames[frame].types.base_type.has_value();
    }
    if (needs_base ? !tensor.base_name : span.base_offset != 0) {
      return Fail(Error(ErrorCode::kMalformed, entry.path() + " does not fit its tensor's base")
                      .Tensor(tensor.name));
    }
    return span;
  }

  Patch& patch_;
  FrameUse use_;
};

}  // namespace

Result<Preamble> ParsePreamble(std::span<const std::byte> bytes, uint64_t file_bytes) {
  if (bytes.size() < kPreambleBytes) {
    return Fail(Error(ErrorCode::kTruncated, "the file is too short for a patch")
                    .Expected(kPreambleBytes)
                    .Found(file_bytes));
  }
  ByteReader reader(bytes.first(kPreambleBytes));
  GS_ASSIGN(const auto magic, reader.GetBytes(8));
  if (AsText(magic) != std::string_view("SGDELTA\0", 8)) {
    return Fail(ErrorCode::kMalformed, "not a patch: the file does not start with SGDELTA");
  }
  GS_ASSIGN(const uint32_t version, reader.Get<uint32_t>());
  Preamble preamble;
  GS_ASSIGN(preamble.directory_crc, reader.Get<uint32_t>());
  GS_ASSIGN(preamble.directory_offset, reader.Get<uint64_t>());
  GS_ASSIGN(preamble.directory_bytes, reader.Get<uint64_t>());
  GS_ASSIGN(preamble.json_bytes, reader.Get<uint64_t>());
  GS_ASSIGN(preamble.frame_count, reader.Get<uint64_t>());
  GS_ASSIGN(preamble.file_bytes, reader.Get<uint64_t>());
  GS_ASSIGN(const uint32_t zero, reader.Get<uint32_t>());
  GS_ASSIGN(const uint32_t crc, reader.Get<uint32_t>());
  if (crc != Crc32(0, bytes.first(kPreambleBytes - 4)) || zero != 0) {
    return Fail(ErrorCode::kChecksumMismatch, "the preamble of the patch is damaged");
  }
  if (version != kPatchVersion) {
    return Fail(Error(ErrorCode::kUnsupported, "the patch's version is not supported")
                    .Expected(uint64_t{kPatchVersion})
                    .Found(uint64_t{version}));
  }
  if (preamble.file_bytes != file_bytes) {
    return Fail(Error(ErrorCode::kTruncated, "the patch has not the size that it says")
                    .Expected(preamble.file_bytes)
                    .Found(file_bytes));
  }
  if (preamble.directory_offset < kPreambleBytes || preamble.directory_offset > file_bytes ||
      preamble.directory_bytes != file_bytes - preamble.directory_offset) {
    return Fail(ErrorCode::kMalformed, "the patch's directory does not end the file");
  }
  if (preamble.json_bytes > kMaxPatchJsonBytes || preamble.frame_count > kMaxPatchFrames ||
      preamble.directory_bytes > 2 * (kMaxPatchJsonBytes + kMaxPatchFrames * kFrameEntryBytes)) {
    return Fail(Error(ErrorCode::kTooLarge, "the patch's directory is above the limit")
                    .Found(preamble.json_bytes));
  }
  return preamble;
}

Result<Patch> ParseDirectory(const Preamble& preamble, std::span<const std::byte> directory) {
  if (directory.size() != preamble.json_bytes + preamble.frame_count * kFrameEntryBytes) {
    return Fail(ErrorCode::kMalformed, "the patch's directory has another size");
  }
  Patch patch;
  ByteReader table(directory.subspan(preamble.json_bytes));
  patch.frames.reserve(preamble.frame_count);
  for (size_t i = 0; i < preamble.frame_count; ++i) {
    GS_ASSIGN(const PatchFrame frame, ReadFrame(i, table));
    patch.frames.push_back(frame);
  }
  GS_TRY(CheckFramePlaces(patch.frames, preamble.directory_offset));
  GS_ASSIGN(const nlohmann::json document, ParseJson(AsText(directory.first(preamble.json_bytes))));
  const JsonView root(document, "");
  GS_ASSIGN(const JsonView format, root.Object("format"));
  GS_ASSIGN(const std::string name, format.String("name", 64));
  GS_ASSIGN(const uint64_t version, format.Uint("version"));
  if (name != "gguf-shard delta" || version != kPatchVersion) {
    return Fail(Error(ErrorCode::kMalformed, "the directory is not that of a patch").Found(name));
  }
  GS_TRY(DirectoryParser(patch).Parse(root));
  return patch;
}

}  // namespace gguf_shard
