// The reader of patches: preamble, and directory as it is after decompression. (Frames:
// frame_fuzz.)
//
//   input: frame count u8 | directory offset u32 | JSON | frame table; shorter ones: a preamble
#include <span>

#include "core/bytes.h"
#include "delta/patch.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

constexpr size_t kPrefixBytes = 5;

// What every reader of a parsed patch relies on.
void CheckPatch(const Patch& patch) {
  GS_FUZZ_EXPECT(!patch.files.empty());
  for (const PatchFile& file : patch.files) GS_FUZZ_EXPECT(file.header_frame < patch.frames.size());
  for (const PatchTensor& tensor : patch.tensors) {
    for (const PatchSpan& span : tensor.spans) {
      GS_FUZZ_EXPECT(span.byte_size != 0);
      GS_FUZZ_EXPECT(!span.frame || *span.frame < patch.frames.size());
      const bool needs_base = !span.frame || patch.frames[*span.frame].types.base_type.has_value();
      GS_FUZZ_EXPECT(!needs_base || tensor.base_name.has_value());
    }
  }
}

void TryDirectory(std::span<const std::byte> input) {
  Preamble preamble;
  preamble.frame_count = static_cast<uint8_t>(input[0]);
  preamble.directory_offset = LoadLe<uint32_t>(input.data() + 1);
  const uint64_t table_bytes = preamble.frame_count * kFrameEntryBytes;
  const auto directory = input.subspan(kPrefixBytes);
  if (directory.size() < table_bytes) return;
  preamble.json_bytes = directory.size() - table_bytes;
  const auto patch = ParseDirectory(preamble, directory);
  if (patch) {
    CheckPatch(*patch);
  } else {
    GS_FUZZ_EXPECT(!patch.error().ToString().empty());
  }
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const auto bytes = std::as_bytes(std::span(data, size_bytes));
  static_cast<void>(gguf_shard::ParsePreamble(bytes, size_bytes));
  if (size_bytes >= gguf_shard::kPrefixBytes) gguf_shard::TryDirectory(bytes);
  return 0;
}
