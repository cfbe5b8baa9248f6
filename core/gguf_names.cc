#include "core/gguf_names.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gguf_shard {
namespace {

// Bytes of the UTF-8 sequence that starts with `lead`; 0 when none does.
size_t SequenceBytes(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // a continuation byte, or an overlong form
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

bool IsPlainCharacter(uint32_t code_point, size_t sequence_bytes) {
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code_point < kSmallest[sequence_bytes] || code_point > 0x10FFFF) return false;
  if (code_point >= 0xD800 && code_point <= 0xDFFF) return false;  // surrogates
  return code_point >= 0x20 && (code_point < 0x7F || code_point > 0x9F);
}

}  // namespace

bool IsPlainName(std::string_view name) {
  for (size_t at = 0; at < name.size();) {
    const auto lead = static_cast<uint8_t>(name[at]);
    const size_t sequence_bytes = SequenceBytes(lead);
    if (sequence_bytes == 0 || sequence_bytes > name.size() - at) return false;
    uint32_t code_point = sequence_bytes == 1 ? lead : lead & (0x7Fu >> sequence_bytes);
    for (size_t i = 1; i < sequence_bytes; ++i) {
      const auto next = static_cast<uint8_t>(name[at + i]);
      if ((next & 0xC0) != 0x80) return false;
      code_point = (code_point << 6) | (next & 0x3Fu);
    }
    if (!IsPlainCharacter(code_point, sequence_bytes)) return false;
    at += sequence_bytes;
  }
  return !name.empty();
}

std::string DisplayName(std::string_view name) {
  constexpr size_t kShownBytes = 64;
  if (name.size() <= kShownBytes) return std::string(name);
  size_t end = kShownBytes;
  while (end > 0 && SequenceBytes(static_cast<uint8_t>(name[end])) == 0) --end;
  return std::string(name.substr(0, end)) + "...";
}

}  // namespace gguf_shard
