// What the plans for the processor (memory_plan.h) and for a device (device_plan.h) agree on.
// Thread-safety: constants.
#pragma once

#include <cstdint>

namespace gguf_shard {

inline constexpr uint64_t kMebibyte = uint64_t{1} << 20;
// The smallest context worth choosing, and shares of the limit for what a plan chooses itself.
inline constexpr uint32_t kSmallContext = 512;
inline constexpr uint64_t kCacheShare = 8;
inline constexpr uint64_t kWorkspaceShare = 8;
inline constexpr uint64_t kLogitShare = 32;
inline constexpr uint64_t kMostLogitBytes = 64 * kMebibyte;

}  // namespace gguf_shard
