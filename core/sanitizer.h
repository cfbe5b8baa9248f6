// Whether a sanitizer that manages memory itself watches this build: it keeps what was freed for a
// while, and takes terabytes of address space. Thread-safety: a constant.
#pragma once

namespace gguf_shard {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitizerManagesMemory = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitizerManagesMemory = true;
#else
inline constexpr bool kSanitizerManagesMemory = false;
#endif
#else
inline constexpr bool kSanitizerManagesMemory = false;
#endif

}  // namespace gguf_shard
