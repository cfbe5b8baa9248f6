#include "runtime/kv_cache.h"

#include <fmt/format.h>

#include <utility>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kQ8Values = 32;  // a row of Q8_0 is whole blocks

Result<void> CheckRowLength(KvType type, uint32_t length) {
  if (type != KvType::kQ8_0 || length % kQ8Values == 0) return {};
  return Fail(ErrorCode::kInvalidArgument,
              fmt::format("a {} key/value cache needs heads of a multiple of {} values; this model "
                          "has heads of {}",
                          KvTypeName(type), kQ8Values, length));
}

}  // namespace

Result<uint64_t> KvCache::Bytes(const Hyperparameters& numbers, KvType type, uint64_t positions) {
  GS_TRY(CheckRowLength(type, numbers.key_length));
  GS_TRY(CheckRowLength(type, numbers.value_length));
  const uint64_t rows = uint64_t{numbers.layer_count} * numbers.head_count_kv;
  const uint64_t row_bytes =
      KvRowBytes(type, numbers.key_length) + KvRowBytes(type, numbers.value_length);
  const auto position_bytes = CheckedMul(rows, row_bytes);
  const auto bytes = position_bytes ? CheckedMul(*position_bytes, positions) : std::nullopt;
  if (!bytes) {
    return Fail(ErrorCode::kTooLarge,
                fmt::format("a key/value cache of {} positions is too large", positions));
  }
  return *bytes;
}

Result<KvCache> KvCache::Create(const Hyperparameters& numbers, KvType type, uint32_t positions) {
  KvCache cache;
  GS_ASSIGN(const uint64_t bytes, Bytes(numbers, type, positions));
  cache.type_ = type;
  cache.head_count_ = numbers.head_count_kv;
  cache.positions_ = positions;
  cache.key_row_bytes_ = KvRowBytes(type, numbers.key_length);
  cache.value_row_bytes_ = KvRowBytes(type, numbers.value_length);
  GS_ASSIGN(cache.memory_, MemoryBlock::Allocate(bytes, "the key/value cache"));
  return cache;
}

}  // namespace gguf_shard
