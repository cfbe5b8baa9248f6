#include "delta/frame_codec.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"
#include "delta/float_base.h"
#include "delta/float_codec.h"
#include "delta/literal_frame.h"
#include "delta/planes.h"
#include "delta/quant_codec.h"
#include "delta/zstd.h"

namespace gguf_shard {
namespace {

constexpr std::array<std::string_view, kFrameMethodCount> kMethodNames = {
    "stored", "quant", "float", "xor_planes", "planes", "bytes"};
constexpr std::array<std::string_view, 3> kLevelNames = {"fast", "default", "max"};

uint32_t MaxTables(DeltaLevel level) { return level == DeltaLevel::kMax ? 128 : 24; }

int ZstdLevel(DeltaLevel level) {
  switch (level) {
    case DeltaLevel::kFast:
      return kZstdHuffmanLevel;
    case DeltaLevel::kDefault:
      return 3;
    case DeltaLevel::kMax:
      break;
  }
  return 19;
}

// Bytes for a moment, kept by each thread: fresh memory would cost more than what is done with it.
std::span<std::byte> Scratch(size_t size) {
  thread_local std::vector<std::byte> scratch;
  if (scratch.size() < size) scratch.resize(size);
  return std::span(scratch).first(size);
}

std::vector<std::byte> EncodePlanes(TensorType type, std::span<const std::byte> target,
                                    std::span<const std::byte> base, int zstd_level) {
  const auto planes = Scratch(target.size());
  SplitPlanes(target, base, GetTensorType(type).block_bytes, planes);
  if (zstd_level == kZstdHuffmanLevel) {
    if (auto frame = LiteralFrame(planes)) return std::move(*frame);
  }
  return ZstdCompress(planes, zstd_level);
}

Result<void> DecodePlanes(TensorType type, std::span<const std::byte> payload,
                          std::span<const std::byte> base, std::span<std::byte> target) {
  const auto planes = Scratch(target.size());
  GS_TRY(ZstdDecompress(payload, planes));
  JoinPlanes(planes, base, GetTensorType(type).block_bytes, target);
  return {};
}

uint64_t WeightCount(TensorType type, uint64_t bytes) {
  const TensorTypeInfo& info = GetTensorType(type);
  return bytes / info.block_bytes * info.block_weights;
}

size_t PayloadBytes(const EncodedFrame& frame, std::span<const std::byte> target) {
  return frame.method == FrameMethod::kStored ? target.size() : frame.payload.size();
}

// Keeps the smaller of two encodings.
void Offer(EncodedFrame& best, std::span<const std::byte> target, FrameMethod method,
           std::vector<std::byte> payload) {
  if (payload.size() < PayloadBytes(best, target)) best = {method, std::move(payload)};
}

EncodedFrame WithPayload(EncodedFrame best, std::span<const std::byte> target) {
  if (best.method == FrameMethod::kStored) best.payload.assign(target.begin(), target.end());
  return best;
}

// The base as floats of the target's type: itself, or what it was converted to.
struct FloatBytes {
  std::vector<std::byte> converted;
  std::span<const std::byte> bytes;
};
FloatBytes FloatBase(const FrameTypes& types, std::span<const std::byte> base) {
  if (types.base_type == types.target_type) return {{}, base};
  FloatBytes floats{FloatsOf(types.target_type, *types.base_type, base), {}};
  floats.bytes = floats.converted;
  return floats;
}

// The codecs that look at numbers; true when one applies.
bool OfferNumeric(const FrameTypes& types, std::span<const std::byte> target,
                  std::span<const std::byte> base, DeltaLevel level, EncodedFrame& best) {
  if (!types.base_type) return false;
  if (CanQuantCode(types.target_type, *types.base_type)) {
    const WeightSpan weights{types.target_type, *types.base_type,
                             WeightCount(types.target_type, target.size())};
    Offer(best, target, FrameMethod::kQuant, QuantEncode(weights, target, base, MaxTables(level)));
    return true;
  }
  if (CanFloatCode(types.target_type, *types.base_type)) {
    Offer(best, target, FrameMethod::kFloat,
          FloatEncode(types.target_type, target, FloatBase(types, base).bytes, MaxTables(level)));
    return true;
  }
  return false;
}

}  // namespace

std::string_view FrameMethodName(FrameMethod method) {
  return kMethodNames[static_cast<size_t>(method)];
}

bool MethodNeedsBase(FrameMethod method) {
  return method == FrameMethod::kQuant || method == FrameMethod::kFloat ||
         method == FrameMethod::kXorPlanes;
}

std::string_view DeltaLevelName(DeltaLevel level) {
  return kLevelNames[static_cast<size_t>(level)];
}

Result<DeltaLevel> DeltaLevelFromName(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    if (kLevelNames[i] == name) return static_cast<DeltaLevel>(i);
  }
  return Fail(Error(ErrorCode::kInvalidArgument, "the level is unknown")
                  .Expected("fast, default or max")
                  .Found(std::string(name)));
}

std::optional<uint64_t> FrameBaseBytes(const FrameTypes& types, uint64_t target_bytes) {
  if (!types.base_type) return 0;
  const TensorTypeInfo& base = GetTensorType(*types.base_type);
  if (target_bytes % GetTensorType(types.target_type).block_bytes != 0) return std::nullopt;
  const uint64_t weights = WeightCount(types.target_type, target_bytes);
  if (weights % base.block_weights != 0) return std::nullopt;
  return weights / base.block_weights * base.block_bytes;
}

EncodedFrame EncodeFrame(const FrameTypes& types, std::span<const std::byte> target,
                         std::span<const std::byte> base, DeltaLevel level) {
  GS_CHECK(FrameBaseBytes(types, target.size()) == base.size());
  // Stands for the target as it is, which is copied only when nothing is smaller.
  EncodedFrame best{FrameMethod::kStored, {}};
  const bool numeric = level != DeltaLevel::kFast && OfferNumeric(types, target, base, level, best);
  // Where numbers are predicted well, planes never win; they are worth a try elsewhere.
  const bool same_type = types.base_type == types.target_type;
  // Conversions that are not what ours is leave much.
  const bool converted = best.method == FrameMethod::kFloat && !same_type;
  if (numeric && ((level != DeltaLevel::kMax && !converted) ||
                  PayloadBytes(best, target) < target.size() / 4 * 3)) {
    return WithPayload(std::move(best), target);
  }
  const int zstd_level = ZstdLevel(level);
  if (same_type) {
    Offer(best, target, FrameMethod::kXorPlanes,
          EncodePlanes(types.target_type, target, base, zstd_level));
  }
  if (!same_type || level == DeltaLevel::kMax) {
    Offer(best, target, FrameMethod::kPlanes,
          EncodePlanes(types.target_type, target, {}, zstd_level));
  }
  return WithPayload(std::move(best), target);
}

Result<void> DecodeFrame(FrameMethod method, const FrameTypes& types,
                         std::span<const std::byte> payload, std::span<const std::byte> base,
                         std::span<std::byte> target) {
  if (FrameBaseBytes(types, target.size()) != base.size()) {
    return Fail(ErrorCode::kMalformed, "a frame's base has not the size of its target");
  }
  switch (method) {
    case FrameMethod::kStored:
      if (payload.size() != target.size()) break;
      std::memcpy(target.data(), payload.data(), target.size());
      return {};
    case FrameMethod::kQuant:
      if (!types.base_type || !CanQuantCode(types.target_type, *types.base_type)) break;
      return QuantDecode(
          {types.target_type, *types.base_type, WeightCount(types.target_type, target.size())},
          payload, base, target);
    case FrameMethod::kFloat:
      if (!types.base_type || !CanFloatCode(types.target_type, *types.base_type)) break;
      return FloatDecode(types.target_type, payload, FloatBase(types, base).bytes, target);
    case FrameMethod::kXorPlanes:
      if (types.base_type != types.target_type) break;
      return DecodePlanes(types.target_type, payload, base, target);
    case FrameMethod::kPlanes:
      return DecodePlanes(types.target_type, payload, {}, target);
    case FrameMethod::kBytes:
      break;
  }
  return Fail(Error(ErrorCode::kMalformed, "a frame's method does not fit its types or size")
                  .Found(std::string(FrameMethodName(method))));
}

}  // namespace gguf_shard
