#include "runtime/utf8.h"

#include "core/check.h"

namespace gguf_shard {
namespace {

// What a lead byte asks for: how many bytes follow, and the range of the first of them (the others
// are 80..BF). The narrow ranges keep out overlong forms, surrogates and code points that do not
// exist.
struct Lead {
  uint32_t continuation_count;
  uint8_t first_low;
  uint8_t first_high;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {0, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {1, 1, 0};  // never a lead: the range is empty
}

}  // namespace

Utf8Step NextUtf8(std::string_view text) {
  GS_CHECK(!text.empty());
  const Lead lead = LeadOf(static_cast<uint8_t>(text[0]));
  if (lead.first_low > lead.first_high) return {Utf8Kind::kInvalid, 1};
  uint8_t low = lead.first_low;
  uint8_t high = lead.first_high;
  for (uint32_t i = 1; i <= lead.continuation_count; ++i) {
    if (i == text.size()) return {Utf8Kind::kIncomplete, i};
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    if (byte < low || byte > high) return {Utf8Kind::kInvalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Utf8Kind::kCharacter, lead.continuation_count + 1};
}

size_t Utf8ValidPrefixBytes(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const Utf8Step step = NextUtf8(text.substr(offset));
    if (step.kind != Utf8Kind::kCharacter) break;
    offset += step.byte_size;
  }
  return offset;
}

size_t Utf8InvalidPrefixBytes(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const Utf8Step step = NextUtf8(text.substr(offset));
    if (step.kind == Utf8Kind::kCharacter) break;
    offset += step.byte_size;
  }
  return offset;
}

}  // namespace gguf_shard
