// Real models' shapes, and what bench/make_model.cc is asked for. Every size of a shape is above 0
// but where 0 is named. Thread-safety: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gguf_shard {

struct ModelShape {
  std::string_view name;
  std::string_view architecture;
  uint32_t layers, width, feed_forward, heads, kv_heads, vocabulary, context;
  float rope_base;
  uint32_t experts = 0, experts_used = 0, head_width = 0;  // head_width 0: width / heads
  uint32_t head() const { return head_width > 0 ? head_width : width / heads; }
};
inline constexpr ModelShape kShapes[] = {
    {"tinyllama-1.1b", "llama", 22, 2048, 5632, 32, 4, 32000, 2048, 10000.0f},
    {"llama-3.1-8b", "llama", 32, 4096, 14336, 32, 8, 128256, 8192, 500000.0f},
    {"qwen3-moe", "qwen3moe", 12, 2048, 768, 32, 4, 32000, 8192, 1000000.0f, 128, 8, 128},
};

struct Request {
  ModelShape shape;
  std::string output;
  std::string vocabulary_file;
  std::string quantization = "Q4_K_M";
  uint64_t seed = 1;
};

}  // namespace gguf_shard
