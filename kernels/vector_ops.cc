#include "kernels/vector_ops.h"

#include <cstring>

#include "core/check.h"
#include "kernels/cpu/vector_kernels.h"

namespace gguf_shard {
namespace {

constexpr size_t kQ8BlockValues = 32;
constexpr size_t kQ8BlockBytes = 34;

const VectorKernels& KernelsOf(KernelIsa isa) {
#if defined(__x86_64__)
  if (isa == KernelIsa::kAvx512Vnni || isa == KernelIsa::kAmx) return avx512::kVectorKernels;
  if (isa == KernelIsa::kAvx2) return avx2::kVectorKernels;
#endif
  GS_CHECK(isa == KernelIsa::kPortable);
  return portable::kVectorKernels;
}

}  // namespace

void RmsNorm(KernelIsa isa, const float* x, const float* weight, float epsilon, size_t count,
             float* y) {
  KernelsOf(isa).rms_norm(x, weight, epsilon, count, y);
}

void AddInPlace(KernelIsa isa, float* x, const float* y, size_t count) {
  KernelsOf(isa).add_in_place(x, y, count);
}

void AddScaled(KernelIsa isa, float* x, const float* y, float factor, size_t count) {
  KernelsOf(isa).add_scaled(x, y, factor, count);
}

void SwiGlu(KernelIsa isa, const float* gate, const float* up, size_t count, float* y) {
  KernelsOf(isa).swi_glu(gate, up, count, y);
}

void Softmax(KernelIsa isa, float* x, size_t count) { KernelsOf(isa).softmax(x, count); }

Result<KvType> KvTypeFromName(std::string_view name) {
  for (const auto type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    if (KvTypeName(type) == name) return type;
  }
  return Fail(Error(ErrorCode::kInvalidArgument, "the type of the key/value cache is unknown")
                  .Expected("f32, f16 or q8_0")
                  .Found(std::string(name.substr(0, 64))));
}

std::string_view KvTypeName(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kF16:
      return "f16";
    case KvType::kQ8_0:
      return "q8_0";
  }
  return "unknown";
}

size_t KvRowBytes(KvType type, size_t count) {
  if (type == KvType::kF32) return count * sizeof(float);
  if (type == KvType::kF16) return count * sizeof(uint16_t);
  GS_CHECK(count % kQ8BlockValues == 0);
  return count / kQ8BlockValues * kQ8BlockBytes;
}

void StoreKvRow(KernelIsa isa, KvType type, const float* values, size_t count, std::byte* row) {
  if (type == KvType::kF32) {
    std::memcpy(row, values, count * sizeof(float));
  } else if (type == KvType::kF16) {
    KernelsOf(isa).store_f16(values, count, row);
  } else {
    GS_CHECK(count % kQ8BlockValues == 0);
    KernelsOf(isa).store_q8(values, count, row);
  }
}

float DotKvRow(KernelIsa isa, KvType type, const float* q, const std::byte* row, size_t count) {
  if (type == KvType::kF32) return KernelsOf(isa).dot_f32(q, row, count);
  if (type == KvType::kF16) return KernelsOf(isa).dot_f16(q, row, count);
  GS_CHECK(count % kQ8BlockValues == 0);
  return KernelsOf(isa).dot_q8(q, row, count);
}

void AccumulateKvRow(KernelIsa isa, KvType type, float weight, const std::byte* row, size_t count,
                     float* accumulator) {
  if (type == KvType::kF32) {
    KernelsOf(isa).accumulate_f32(weight, row, count, accumulator);
  } else if (type == KvType::kF16) {
    KernelsOf(isa).accumulate_f16(weight, row, count, accumulator);
  } else {
    GS_CHECK(count % kQ8BlockValues == 0);
    KernelsOf(isa).accumulate_q8(weight, row, count, accumulator);
  }
}

}  // namespace gguf_shard
