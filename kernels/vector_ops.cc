#include "kernels/vector_ops.h"

#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "kernels/cpu/vector_kernels.h"

namespace gguf_shard {
namespace {

constexpr size_t kQ8BlockValues = 32;
constexpr size_t kQ8BlockBytes = 34;

const VectorKernels& KernelsOf(KernelIsa isa) {
#if defined(__x86_64__)
  if (isa == KernelIsa::kAvx512Vnni || isa == KernelIsa::kAmx) return avx512::kVectorKernels;
  if (isa == KernelIsa::kAvx2 || isa == KernelIsa::kAvxVnni) return avx2::kVectorKernels;
#elif defined(__aarch64__)
  if (isa == KernelIsa::kNeon) return neon::kVectorKernels;
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

void LoadKvRow(KernelIsa isa, KvType type, const std::byte* row, size_t count, float* values) {
  if (type == KvType::kF32) return KernelsOf(isa).load_f32(row, count, values);
  if (type == KvType::kF16) return KernelsOf(isa).load_f16(row, count, values);
  GS_CHECK(count % kQ8BlockValues == 0);
  KernelsOf(isa).load_q8(row, count, values);
}

void Attend(KernelIsa isa, KvType type, const AttendTask& task) {
  if (task.token_count == 0 || task.head_count == 0) return;
  if (type == KvType::kF32) return KernelsOf(isa).attend_f32(task);
  if (type == KvType::kF16) return KernelsOf(isa).attend_f16(task);
  GS_CHECK(task.key_length % kQ8BlockValues == 0 && task.value_length % kQ8BlockValues == 0);
  KernelsOf(isa).attend_q8(task);
}

// As kernels/cpu/attend_impl.h deals it out; tiles of four queries may write behind the last.
size_t AttendScratchFloats(uint32_t key_length, uint32_t value_length) {
  const size_t key_width = AlignUp(key_length, kAttendLanes);
  const size_t value_width = AlignUp(value_length, kAttendLanes);
  return (kAttendPositions + kAttendLanes) * key_width +
         (kAttendPositions + kAttendQueries) * value_width +
         kAttendQueries * (kAttendPositions + kAttendLanes + 2);
}

void RotateAdjacent(KernelIsa isa, const float* cosine_sine, size_t pair_count, float* head) {
  KernelsOf(isa).rotate_adjacent(cosine_sine, pair_count, head);
}

void RotateHalves(KernelIsa isa, const float* cosine_sine, size_t pair_count, float* head) {
  KernelsOf(isa).rotate_halves(cosine_sine, pair_count, head);
}

}  // namespace gguf_shard
