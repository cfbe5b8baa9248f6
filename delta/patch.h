// The patch file, `.sgdelta`: what its directory says. docs/FORMAT-DELTA.md describes the bytes.
//
//   0        64            directory_offset                    file_bytes
//   +--------+------ ... ------+---------------------------------+
//   | preamble | frame payloads | zstd( JSON, then frame table ) |
//   +--------+------ ... ------+---------------------------------+
//
//   preamble: magic "SGDELTA\0", version u32, directory CRC u32, directory_offset u64, directory
//   bytes u64, JSON bytes u64, frame count u64, file_bytes u64, zero u32, preamble CRC u32
//
// Every byte of the file belongs to the preamble, one frame or the directory, and each has a CRC:
// any damage is found and named. ParseDirectory checks everything that can be checked without the
// base; PatchedView (delta/patched_view.h) checks the rest. Thread-safety: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "delta/frame_codec.h"

namespace gguf_shard {

inline constexpr uint32_t kPatchVersion = 1;
inline constexpr uint64_t kPreambleBytes = 64;
inline constexpr uint64_t kFrameEntryBytes = 32;
inline constexpr uint16_t kNoBaseType = 0xffff;  // in a frame entry
// Limits that no honest patch reaches; above them a patch is refused with kTooLarge.
inline constexpr uint64_t kMaxPatchJsonBytes = uint64_t{16} << 20;
inline constexpr uint64_t kMaxPatchFrames = uint64_t{1} << 20;
inline constexpr uint64_t kMaxPatchHeaderBytes = uint64_t{128} << 20;  // of one source file

struct PatchFrame {
  uint64_t offset = 0;  // in the patch file
  uint32_t payload_bytes = 0;
  uint32_t payload_crc = 0;
  uint32_t target_bytes = 0;
  FrameMethod method = FrameMethod::kStored;
  FrameTypes types{TensorType::kI8, std::nullopt};
};

// A run of a target tensor's bytes: copied from the base tensor at base_offset, or part of a frame.
struct PatchSpan {
  uint64_t byte_size = 0;
  uint64_t base_offset = 0;       // in the base tensor; 0 where the frame has no base
  std::optional<uint32_t> frame;  // nothing: copied
};

// A tensor that is not simply the base's tensor of the same name.
struct PatchTensor {
  std::string name;
  std::optional<std::string> base_name;
  std::vector<PatchSpan> spans;  // follow each other from the tensor's first byte to its last
};

struct PatchGap {
  uint64_t offset = 0;  // in the file
  uint64_t byte_size = 0;
  uint32_t frame = 0;
};

struct PatchFile {
  std::string name;
  uint64_t byte_size = 0;
  Sha256Digest sha256{};
  uint64_t header_bytes = 0;
  uint32_t header_frame = 0;
  std::vector<PatchGap> gaps;
};

struct PatchBaseFile {
  std::string name;
  uint64_t byte_size = 0;
};

struct Patch {
  DeltaLevel level = DeltaLevel::kDefault;
  Xxh128Digest base_digest{};  // ContentDigest of the base
  std::vector<PatchBaseFile> base_files;
  Xxh128Digest target_digest{};
  std::vector<PatchFile> files;
  std::vector<std::string> deleted;  // base tensors that the target has not; for people
  std::vector<PatchTensor> tensors;
  std::vector<PatchFrame> frames;
};

struct Preamble {
  uint32_t directory_crc = 0;
  uint64_t directory_offset = 0;
  uint64_t directory_bytes = 0;
  uint64_t json_bytes = 0;
  uint64_t frame_count = 0;
  uint64_t file_bytes = 0;
};
std::vector<std::byte> SerializePreamble(const Preamble& preamble);
// `file_bytes`: the real size of the file.
Result<Preamble> ParsePreamble(std::span<const std::byte> bytes, uint64_t file_bytes);

// JSON and frame table, not yet compressed.
std::string SerializePatchJson(const Patch& patch);
std::vector<std::byte> SerializeFrameTable(const Patch& patch);
// `directory`: both, decompressed. Frames must fill [64, directory_offset).
Result<Patch> ParseDirectory(const Preamble& preamble, std::span<const std::byte> directory);

}  // namespace gguf_shard
