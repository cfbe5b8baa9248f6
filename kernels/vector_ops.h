// The small operations of a transformer layer on f32 vectors, and dot products with key/value rows.
// SIMD where the processor has it; each result has one fixed summation order, so it does not depend
// on the number of threads. Thread-safe over disjoint outputs; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "kernels/matmul.h"

namespace gguf_shard {

// y = x / sqrt(mean(x^2) + epsilon) * weight
void RmsNorm(KernelIsa isa, const float* x, const float* weight, float epsilon, size_t count,
             float* y);
void AddInPlace(KernelIsa isa, float* x, const float* y, size_t count);
// x += factor * y
void AddScaled(KernelIsa isa, float* x, const float* y, float factor, size_t count);
// y = silu(gate) * up
void SwiGlu(KernelIsa isa, const float* gate, const float* up, size_t count, float* y);
// In place; subtracts the maximum first.
void Softmax(KernelIsa isa, float* x, size_t count);

// Key/value cache rows.
enum class KvType : uint8_t { kF32, kF16, kQ8_0 };
Result<KvType> KvTypeFromName(std::string_view name);  // "f32", "f16", "q8_0"
std::string_view KvTypeName(KvType type);
// Bytes of a row of `count` values; count is a multiple of 32 for kQ8_0.
size_t KvRowBytes(KvType type, size_t count);
void StoreKvRow(KernelIsa isa, KvType type, const float* values, size_t count, std::byte* row);
// sum_i q[i] * row[i]
float DotKvRow(KernelIsa isa, KvType type, const float* q, const std::byte* row, size_t count);
// accumulator[i] += weight * row[i]
void AccumulateKvRow(KernelIsa isa, KvType type, float weight, const std::byte* row, size_t count,
                     float* accumulator);

}  // namespace gguf_shard
