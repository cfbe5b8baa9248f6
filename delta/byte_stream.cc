#include "delta/byte_stream.h"

namespace gguf_shard {

Result<uint64_t> ByteReader::GetVarint(uint64_t limit) {
  uint64_t value = 0;
  for (uint32_t shift = 0; shift < 64; shift += 7) {
    GS_ASSIGN(const uint8_t byte, Get<uint8_t>());
    const uint64_t bits = byte & 0x7f;
    if (shift == 63 && bits > 1) break;
    value |= bits << shift;
    if (byte >= 0x80) continue;
    if (byte == 0 && shift != 0) break;
    if (value > limit) {
      return Fail(Error(ErrorCode::kMalformed, "a number in a frame is above its limit")
                      .Expected(limit)
                      .Found(value));
    }
    return value;
  }
  return Fail(ErrorCode::kMalformed, "a number in a frame is not in its shortest form");
}

Result<std::span<const std::byte>> ByteReader::GetBytes(uint64_t count) {
  if (count > bytes_.size()) {
    return Fail(Error(ErrorCode::kMalformed, "a frame ends too early")
                    .Expected(count)
                    .Found(static_cast<uint64_t>(bytes_.size())));
  }
  const auto taken = bytes_.first(count);
  bytes_ = bytes_.subspan(count);
  return taken;
}

Result<void> ByteReader::ExpectEnd() const {
  if (bytes_.empty()) return {};
  return Fail(Error(ErrorCode::kMalformed, "a frame has bytes behind its end")
                  .Found(static_cast<uint64_t>(bytes_.size())));
}

}  // namespace gguf_shard
