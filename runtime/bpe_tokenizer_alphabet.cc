#include "runtime/bpe_tokenizer_alphabet.h"

#include <array>
#include <cstdint>

#include "runtime/utf8.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kAlphabetEnd = 0x144;  // one past the highest code point in the alphabet
constexpr int16_t kNoByte = -1;

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// The byte that each code point below kAlphabetEnd stands for.
constexpr std::array<int16_t, kAlphabetEnd> MakeBytesOfCodePoints() {
  std::array<int16_t, kAlphabetEnd> bytes{};
  for (int16_t& byte : bytes) byte = kNoByte;
  uint32_t next_substitute = 0x100;
  for (uint32_t byte = 0; byte < 0x100; ++byte) {
    const uint32_t code_point = StandsForItself(byte) ? byte : next_substitute++;
    bytes[code_point] = static_cast<int16_t>(byte);
  }
  return bytes;
}

constexpr std::array<int16_t, kAlphabetEnd> kBytesOfCodePoints = MakeBytesOfCodePoints();

// The byte that one well-formed character stands for, or kNoByte.
int16_t ByteOf(std::string_view character) {
  const auto lead = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) return kBytesOfCodePoints[lead];
  if (character.size() > 2) return kNoByte;
  const uint32_t code_point =
      (uint32_t{lead} & 0x1F) << 6 | (static_cast<uint8_t>(character[1]) & 0x3F);
  return code_point < kAlphabetEnd ? kBytesOfCodePoints[code_point] : kNoByte;
}

}  // namespace

void AppendByteLevelDecoded(std::string_view text, std::string& bytes) {
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const std::string_view head = text.substr(0, step.byte_size);
    const int16_t byte = step.kind == Utf8Kind::kCharacter ? ByteOf(head) : kNoByte;
    if (byte == kNoByte) {
      bytes.append(head);
    } else {
      bytes.push_back(static_cast<char>(byte));
    }
    text.remove_prefix(step.byte_size);
  }
}

}  // namespace gguf_shard
