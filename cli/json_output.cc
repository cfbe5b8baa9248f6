#include "cli/json_output.h"

#include <fmt/format.h>

#include <cstdio>

namespace gguf_shard {

nlohmann::ordered_json ErrorJson(const Error& error) {
  nlohmann::ordered_json json{{"code", ErrorCodeName(error.code())}, {"message", error.sentence()}};
  const auto add = [&json](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  add("file", error.file());
  add("tensor", error.tensor());
  if (error.page_index()) json["page"] = *error.page_index();
  if (error.byte_offset()) json["offset"] = *error.byte_offset();
  add("expected", error.expected());
  add("found", error.found());
  return json;
}

void PrintJson(const nlohmann::ordered_json& document) {
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  fmt::print("{}\n", document.dump(2, ' ', false, replace));
}

}  // namespace gguf_shard
