// The small operations of a transformer layer on f32 vectors, and attention over key/value rows.
// SIMD where the processor has it; each result has one fixed summation order, so it does not depend
// on the number of threads. Thread-safe over disjoint outputs; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "kernels/cpu/attend_task.h"
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
void LoadKvRow(KernelIsa isa, KvType type, const std::byte* row, size_t count, float* values);

// attended = softmax(scale * query . keys) . values for every query, over the positions that its
// token sees. A query's result does not depend on the others of the task.
void Attend(KernelIsa isa, KvType type, const AttendTask& task);
size_t AttendScratchFloats(uint32_t key_length, uint32_t value_length);

// Turns pairs of values by angles given as cosine, sine, cosine, ...: neighbours, or a value of the
// first half with its place in the second.
void RotateAdjacent(KernelIsa isa, const float* cosine_sine, size_t pair_count, float* head);
void RotateHalves(KernelIsa isa, const float* cosine_sine, size_t pair_count, float* head);

}  // namespace gguf_shard
