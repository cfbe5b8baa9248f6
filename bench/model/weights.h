// The bytes of a made model's tensors: random weights of quantized matrices, ones for norms, and
// the embedding, output and routers of a mixture of experts (bench/make_model.cc says why those are
// made). Spans are whole blocks of the tensor's type. Thread-safety: pure functions over their
// arguments; a RandomBytes is for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bench/model/plan.h"
#include "bench/model/random_bytes.h"

namespace gguf_shard {

// f16 bits of a positive normal number; enough for scales.
uint16_t PositiveF16(double value);

void FillWeights(const PlannedTensor& tensor, RandomBytes& random, std::span<std::byte> bytes);

// Of a tensor that is made (Made), `first_byte` and what follows it.
void FillMade(const PlannedTensor& tensor, uint64_t first_byte, std::span<std::byte> bytes);

}  // namespace gguf_shard
