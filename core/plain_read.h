// The yardstick of memory: reads every word and does nothing else with it. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gguf_shard {

// The sum of the 64-bit words, so that no read can be left out; `byte_size` is a multiple of 256.
uint64_t PlainRead(const std::byte* bytes, uint64_t byte_size);

}  // namespace gguf_shard
