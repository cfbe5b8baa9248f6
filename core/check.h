// Assertions for our own mistakes. They stay on in release builds: a broken invariant must stop the
// program before it computes with wrong weights. Never use them on bytes from outside
// (core/error.h). Thread-safe.
#pragma once

namespace gguf_shard {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace gguf_shard

#define GS_CHECK(condition)                          \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::gguf_shard::CheckFailed(#condition, __FILE__, __LINE__))
