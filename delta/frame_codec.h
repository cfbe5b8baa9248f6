// The codecs of a frame: how target bytes are made from base bytes and a payload.
//
// A frame holds at most 4 MiB of target bytes of one type, cut from one or more tensors. The
// encoder tries what can work and keeps the smallest. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/tensor_type.h"

namespace gguf_shard {

inline constexpr uint64_t kMaxFrameTargetBytes = uint64_t{4} << 20;
inline constexpr uint64_t kMaxFrameBaseBytes = uint64_t{32} << 20;
inline constexpr uint64_t kMaxFramePayloadBytes = uint64_t{8} << 20;

enum class FrameMethod : uint8_t {
  kStored = 0,     // the target bytes themselves
  kQuant = 1,      // delta/quant_codec.h
  kFloat = 2,      // delta/float_codec.h
  kXorPlanes = 3,  // target XOR base, byte p of every block together, zstd
  kPlanes = 4,     // the same without a base
  kBytes = 5,      // zstd of the bytes as they are; may refer to base bytes (source headers)
};
inline constexpr uint8_t kFrameMethodCount = 6;
std::string_view FrameMethodName(FrameMethod method);
// Whether a payload of this method is decoded with base bytes.
bool MethodNeedsBase(FrameMethod method);

enum class DeltaLevel : uint8_t { kFast, kDefault, kMax };
std::string_view DeltaLevelName(DeltaLevel level);
Result<DeltaLevel> DeltaLevelFromName(std::string_view name);

// Target bytes are whole blocks of target_type; base bytes, if any, hold as many weights.
struct FrameTypes {
  TensorType target_type;
  std::optional<TensorType> base_type;

  bool operator==(const FrameTypes&) const = default;
};

// Base bytes that belong to `target_bytes` of a frame; nothing when they are not whole blocks.
std::optional<uint64_t> FrameBaseBytes(const FrameTypes& types, uint64_t target_bytes);

struct EncodedFrame {
  FrameMethod method;
  std::vector<std::byte> payload;
};
EncodedFrame EncodeFrame(const FrameTypes& types, std::span<const std::byte> target,
                         std::span<const std::byte> base, DeltaLevel level);

// kMalformed when payload, method and types do not fit; `target` is then undefined.
Result<void> DecodeFrame(FrameMethod method, const FrameTypes& types,
                         std::span<const std::byte> payload, std::span<const std::byte> base,
                         std::span<std::byte> target);

}  // namespace gguf_shard
