#define ZSTD_STATIC_LINKING_ONLY
#include "delta/zstd.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <memory>

#include "core/check.h"

namespace gguf_shard {
namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// The window of a frame must reach back over the whole reference.
constexpr int kMaxWindowLog = 31;
constexpr size_t kMaxKeptFrameBytes = size_t{8} << 20;
int WindowLog(size_t bytes) {
  return std::clamp(static_cast<int>(std::bit_width(bytes + 1)), 10, kMaxWindowLog);
}

}  // namespace

std::vector<std::byte> ZstdCompress(std::span<const std::byte> bytes, int level,
                                    std::span<const std::byte> reference) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  GS_CHECK(context != nullptr);
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  if (level == kZstdHuffmanLevel) {
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
  }
  if (!reference.empty()) {
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog,
                           WindowLog(bytes.size() + reference.size()));
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_refPrefix(context.get(), reference.data(), reference.size());
  }
  // Kept by the thread: fresh memory for every frame costs as much as compressing quickly.
  thread_local std::vector<std::byte> kept;
  std::vector<std::byte> large;
  const size_t bound = ZSTD_compressBound(bytes.size());
  std::vector<std::byte>& buffer = bound <= kMaxKeptFrameBytes ? kept : large;
  if (buffer.size() < bound) buffer.resize(bound);
  const size_t size =
      ZSTD_compress2(context.get(), buffer.data(), bound, bytes.data(), bytes.size());
  GS_CHECK(!ZSTD_isError(size));
  return {buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(size)};
}

Result<void> ZstdDecompress(std::span<const std::byte> compressed, std::span<std::byte> target,
                            std::span<const std::byte> reference) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  GS_CHECK(context != nullptr);
  ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  if (!reference.empty()) {
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
    ZSTD_DCtx_refPrefix(context.get(), reference.data(), reference.size());
  }
  const size_t size = ZSTD_decompressDCtx(context.get(), target.data(), target.size(),
                                          compressed.data(), compressed.size());
  if (ZSTD_isError(size)) {
    return Fail(Error(ErrorCode::kMalformed, "compressed bytes of a patch are damaged")
                    .Found(ZSTD_getErrorName(size)));
  }
  if (size != target.size()) {
    return Fail(Error(ErrorCode::kMalformed, "compressed bytes of a patch have another size")
                    .Expected(static_cast<uint64_t>(target.size()))
                    .Found(static_cast<uint64_t>(size)));
  }
  return {};
}

}  // namespace gguf_shard
