// The codecs of a patch's frames: a payload from outside gives an error or bytes, and what was
// encoded is decoded exactly.
//
//   input: method u8 | target type u8 | base type u8 | target blocks u8 | payload, or target bytes
//   method above the known ones: encode the bytes as a target and decode them
#include <algorithm>
#include <span>
#include <vector>

#include "core/tensor_type.h"
#include "delta/frame_codec.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kPrefixBytes = 4;
constexpr uint64_t kMaxTargetBytes = uint64_t{64} << 10;

TensorType TypeOf(uint8_t choice) {
  const auto types = AllTensorTypes();
  return types[choice % types.size()].type;
}

// Base bytes that have something in common with the input.
Bytes BaseBytes(std::span<const std::byte> input, uint64_t size_bytes) {
  Bytes base(size_bytes);
  for (uint64_t i = 0; i < size_bytes && !input.empty(); ++i) {
    base[i] = input[i % input.size()] ^ static_cast<std::byte>(i % 61 == 0);
  }
  return base;
}

void CheckRoundTrip(const FrameTypes& types, const Bytes& target, const Bytes& base,
                    DeltaLevel level) {
  const EncodedFrame frame = EncodeFrame(types, target, base, level);
  GS_FUZZ_EXPECT(frame.payload.size() <= target.size());
  Bytes decoded(target.size());
  GS_FUZZ_EXPECT(DecodeFrame(frame.method, types, frame.payload, base, decoded).has_value());
  GS_FUZZ_EXPECT(decoded == target);
}

void Try(std::span<const std::byte> input) {
  const auto field = [&input](size_t i) { return static_cast<uint8_t>(input[i]); };
  FrameTypes types{TypeOf(field(1)), std::nullopt};
  if (field(2) < 0x80) types.base_type = TypeOf(field(2));
  const std::span<const std::byte> rest = input.subspan(kPrefixBytes);
  const uint32_t block_bytes = GetTensorType(types.target_type).block_bytes;
  const uint64_t target_bytes =
      std::min<uint64_t>(field(3) + 1, kMaxTargetBytes / block_bytes) * block_bytes;
  const auto base_bytes = FrameBaseBytes(types, target_bytes);
  if (!base_bytes) return;
  const Bytes base = BaseBytes(rest, *base_bytes);
  if (field(0) < kFrameMethodCount) {
    Bytes target(target_bytes);
    static_cast<void>(DecodeFrame(static_cast<FrameMethod>(field(0)), types, rest, base, target));
    return;
  }
  Bytes target(rest.begin(), rest.end());
  target.resize(target_bytes);
  CheckRoundTrip(types, target, base, static_cast<DeltaLevel>(field(0) % 3));
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  if (size_bytes < gguf_shard::kPrefixBytes) return 0;
  gguf_shard::Try(std::as_bytes(std::span(data, size_bytes)));
  return 0;
}
