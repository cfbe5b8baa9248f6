#include "kernels/dequantize.h"

#include "core/check.h"
#include "kernels/ref/block_decoders.h"

namespace gguf_shard {
namespace {

ref::BlockDecoder DecoderOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return ref::DecodeF32;
    case TensorType::kF16:
      return ref::DecodeF16;
    case TensorType::kBF16:
      return ref::DecodeBf16;
    case TensorType::kQ4_0:
      return ref::DecodeQ4_0;
    case TensorType::kQ4_1:
      return ref::DecodeQ4_1;
    case TensorType::kQ5_0:
      return ref::DecodeQ5_0;
    case TensorType::kQ5_1:
      return ref::DecodeQ5_1;
    case TensorType::kQ8_0:
      return ref::DecodeQ8_0;
    case TensorType::kIQ4_NL:
      return ref::DecodeIq4Nl;
    case TensorType::kMXFP4:
      return ref::DecodeMxfp4;
    case TensorType::kQ2_K:
      return ref::DecodeQ2K;
    case TensorType::kQ3_K:
      return ref::DecodeQ3K;
    case TensorType::kQ4_K:
      return ref::DecodeQ4K;
    case TensorType::kQ5_K:
      return ref::DecodeQ5K;
    case TensorType::kQ6_K:
      return ref::DecodeQ6K;
    case TensorType::kIQ4_XS:
      return ref::DecodeIq4Xs;
    default:
      return nullptr;
  }
}

}  // namespace

bool CanDequantize(TensorType type) { return DecoderOf(type) != nullptr; }

void Dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> values) {
  const ref::BlockDecoder decode = DecoderOf(type);
  GS_CHECK(decode != nullptr);
  const TensorTypeInfo& info = GetTensorType(type);
  const size_t block_count = blocks.size() / info.block_bytes;
  GS_CHECK(blocks.size() == block_count * info.block_bytes);
  GS_CHECK(values.size() == block_count * info.block_weights);
  for (size_t block = 0; block < block_count; ++block) {
    decode(blocks.data() + block * info.block_bytes, values.data() + block * info.block_weights);
  }
}

}  // namespace gguf_shard
