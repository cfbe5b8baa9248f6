// What the operating system says about memory: this process's, and what a run may still take.
// Thread-safe.
#pragma once

#include <cstdint>

#include "core/error.h"

namespace gguf_shard {

struct ProcessMemory {
  uint64_t resident_bytes = 0;       // VmRSS
  uint64_t peak_resident_bytes = 0;  // VmHWM
};
Result<ProcessMemory> ReadProcessMemory();

// What this machine, or the control group that this process runs in, could still give.
Result<uint64_t> AvailableMemoryBytes();

// Makes malloc return memory as it is freed: few arenas, large blocks from the system. Call it once
// before threads start; later calls only return what is free now.
void KeepHeapSmall();

}  // namespace gguf_shard
