// Memory in huge pages: it faults less often, and the kernel hands direct reads and writes of it to
// the disk in few long segments instead of one for each 4 KB. Thread-safe.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace gguf_shard {

inline constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

// A wish: without it the memory works, only slower. `memory` starts at a page of the system, best
// at a huge one.
inline void AskForHugePages(void* memory, uint64_t byte_size) {
  static_cast<void>(madvise(memory, byte_size, MADV_HUGEPAGE));
}

}  // namespace gguf_shard
