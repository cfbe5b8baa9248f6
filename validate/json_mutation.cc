#include "validate/json_mutation.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace gguf_shard {
namespace {

using Json = nlohmann::ordered_json;
using Pointer = Json::json_pointer;

void CollectPlaces(const Json& node, const Pointer& at, std::vector<Pointer>& places) {
  if (!at.empty()) places.push_back(at);
  if (node.is_object()) {
    for (const auto& item : node.items()) CollectPlaces(item.value(), at / item.key(), places);
  } else if (node.is_array()) {
    for (size_t i = 0; i < node.size(); ++i) CollectPlaces(node[i], at / i, places);
  }
}

Json OtherNumber(const Json& number, std::mt19937_64& random) {
  const uint64_t value = number.is_number_unsigned() ? number.get<uint64_t>() : 0;
  const std::array<Json, 10> choices = {value + 1,
                                        value - 1,
                                        0,
                                        -1,
                                        value * 2,
                                        std::numeric_limits<uint64_t>::max(),
                                        value ^ (uint64_t{1} << (random() % 63)),
                                        1.5,
                                        "12",
                                        random()};
  return choices[random() % choices.size()];
}

Json OtherString(const std::string& text, std::mt19937_64& random) {
  std::string changed = text;
  switch (random() % 5) {
    case 0:
      return "";
    case 1:
      if (!changed.empty()) changed[random() % changed.size()] ^= 1;
      return changed;
    case 2:
      return text + text;
    case 3:
      return text + std::string(5000, 'x');
    default:
      return static_cast<uint64_t>(text.size());
  }
}

Json OtherList(Json list, std::mt19937_64& random) {
  if (list.empty()) return Json::array({1});
  const size_t one = random() % list.size();
  const size_t other = random() % list.size();
  switch (random() % 3) {
    case 0:
      list.erase(one);
      break;
    case 1:
      list.push_back(list[one]);
      break;
    default:
      std::swap(list[one], list[other]);
  }
  return list;
}

Json OtherObject(Json object, std::mt19937_64& random) {
  if (object.empty() || random() % 3 == 0) {
    object["surplus"] = 1;
    return object;
  }
  auto member = object.begin();
  std::advance(member, static_cast<std::ptrdiff_t>(random() % object.size()));
  object.erase(member);
  return object;
}

Json Other(const Json& value, std::mt19937_64& random) {
  if (random() % 16 == 0) return nullptr;
  if (value.is_number()) return OtherNumber(value, random);
  if (value.is_string()) return OtherString(value.get<std::string>(), random);
  if (value.is_array()) return OtherList(value, random);
  if (value.is_object()) return OtherObject(value, random);
  return !value.is_boolean() || !value.get<bool>();
}

std::string Short(const Json& value) {
  const auto replace = Json::error_handler_t::replace;
  std::string text = value.dump(-1, ' ', false, replace);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  return text;
}

}  // namespace

JsonMutation MutateJson(std::string_view text, std::mt19937_64& random) {
  Json document = Json::parse(text);
  std::vector<Pointer> places;
  CollectPlaces(document, Pointer(), places);
  // Another choice when a change changes nothing: two equal elements swapped.
  while (true) {
    const Pointer& place = places[random() % places.size()];
    Json& value = document.at(place);
    const Json changed = Other(value, random);
    if (changed == value) continue;
    const std::string what =
        fmt::format("{}: {} becomes {}", place.to_string(), Short(value), Short(changed));
    value = changed;
    const auto replace = Json::error_handler_t::replace;
    return {document.dump(1, ' ', false, replace), what};
  }
}

}  // namespace gguf_shard
