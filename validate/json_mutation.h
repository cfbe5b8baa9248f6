// Changes one thing in a JSON document, as its structure suggests: numbers become their neighbours
// and extremes, strings grow or vanish, members and elements are removed, doubled, swapped.
// Deterministic by the random numbers given. Thread-safety: pure functions.
#pragma once

#include <random>
#include <string>
#include <string_view>

namespace gguf_shard {

struct JsonMutation {
  std::string text;  // the document with the change
  std::string what;  // "/shards/3/first_page: 120 becomes 121"
};

// `text` is valid JSON.
JsonMutation MutateJson(std::string_view text, std::mt19937_64& random);

}  // namespace gguf_shard
