// The decoders of a patch's frames: a payload from outside gives bytes or an error.
//
//   input: method u8 | target type u8 | base type u8 | target blocks u8 | payload
#include <algorithm>
#include <span>
#include <vector>

#include "core/tensor_type.h"
#include "delta/frame_codec.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

constexpr size_t kPrefixBytes = 4;
constexpr uint64_t kMaxTargetBytes = uint64_t{16} << 10;
constexpr uint8_t kNoBase = 0xFF;

TensorType TypeOf(uint8_t choice) {
  const auto types = AllTensorTypes();
  return types[choice % types.size()].type;
}

// The same for every input, so that a payload that decodes goes on decoding.
std::vector<std::byte> BaseBytes(uint64_t size_bytes) {
  std::vector<std::byte> base(size_bytes);
  uint32_t state = 1;
  for (std::byte& byte : base) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return base;
}

void TryDecode(std::span<const std::byte> input) {
  const auto field = [&input](size_t i) { return static_cast<uint8_t>(input[i]); };
  const auto method = static_cast<FrameMethod>(field(0) % kFrameMethodCount);
  FrameTypes types{TypeOf(field(1)), std::nullopt};
  if (field(2) != kNoBase) types.base_type = TypeOf(field(2));
  const uint32_t block_bytes = GetTensorType(types.target_type).block_bytes;
  std::vector<std::byte> target(std::min<uint64_t>(field(3) + 1, kMaxTargetBytes / block_bytes) *
                                block_bytes);
  const auto base_bytes = FrameBaseBytes(types, target.size());
  if (!base_bytes) return;
  const auto base = BaseBytes(*base_bytes);
  const auto decoded = DecodeFrame(method, types, input.subspan(kPrefixBytes), base, target);
  GS_FUZZ_EXPECT(decoded || !decoded.error().ToString().empty());
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  if (size_bytes < gguf_shard::kPrefixBytes) return 0;
  gguf_shard::TryDecode(std::as_bytes(std::span(data, size_bytes)));
  return 0;
}
