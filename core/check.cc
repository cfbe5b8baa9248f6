#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace gguf_shard {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "gguf-shard: internal error: %s is false at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace gguf_shard
