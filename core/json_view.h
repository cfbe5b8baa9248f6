// Checked access to JSON objects that came from outside: every look-up is typed and ranged, and an
// error names the path of the field ("shards[12].first_page").
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gguf_shard {

// A JSON value and the path that leads to it, for messages.
class JsonView {
 public:
  JsonView(const nlohmann::json& value, std::string path)
      : value_(&value), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  const nlohmann::json& value() const { return *value_; }

  bool Has(std::string_view key) const;
  Result<JsonView> Object(std::string_view key) const;
  Result<JsonView> Array(std::string_view key, uint64_t max_count) const;
  Result<uint64_t> Uint(std::string_view key,
                        uint64_t maximum = std::numeric_limits<uint64_t>::max()) const;
  Result<std::string> String(std::string_view key, size_t max_bytes = 4096) const;
  // A string of exactly 2 * out.size() hexadecimal digits.
  Result<void> Hex(std::string_view key, std::span<std::byte> out) const;

  // For arrays.
  size_t size() const { return value_->size(); }
  JsonView operator[](size_t index) const;
  Result<uint64_t> AsUint(uint64_t maximum) const;
  Result<std::string> AsString(size_t max_bytes) const;

  Error Malformed(std::string_view key, std::string_view what) const;

 private:
  Result<const nlohmann::json*> Find(std::string_view key) const;
  std::string Join(std::string_view key) const;

  const nlohmann::json* value_;
  std::string path_;
};

// Parses text of nesting at most 16; kMalformed with the byte offset otherwise.
Result<nlohmann::json> ParseJson(std::string_view text);

}  // namespace gguf_shard
