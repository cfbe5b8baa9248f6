// The tile instructions of AMX: the compiler's own or, with GS_AMX_MODEL defined (by a test alone),
// the model of kernels/ref/amx_model.h. Macros, because GCC's intrinsics want the tile's number as
// literal text. Thread-safety: tile registers belong to the thread.
#pragma once

#if defined(GS_AMX_MODEL)

#include "kernels/ref/amx_model.h"

#define GS_TILE_LOADCONFIG(config) ::gguf_shard::amx::ThreadTiles().LoadConfig(config)
#define GS_TILE_RELEASE() ::gguf_shard::amx::ThreadTiles().Release()
#define GS_TILE_LOADD(tile, base, stride) ::gguf_shard::amx::ThreadTiles().Load(tile, base, stride)
#define GS_TILE_STORED(tile, base, stride) \
  ::gguf_shard::amx::ThreadTiles().Store(tile, base, stride)
#define GS_TILE_ZERO(tile) ::gguf_shard::amx::ThreadTiles().Zero(tile)
#define GS_TILE_DPBSUD(sum, left, right) \
  ::gguf_shard::amx::ThreadTiles().MultiplyAdd(sum, left, right)

#else

#include <immintrin.h>

// GCC 12's intrinsics do not tell the compiler which memory a tile instruction reads: what was
// written before has to be in memory by then.
#define GS_TILE_MEMORY_IS_WRITTEN() __asm__ volatile("" ::: "memory")
#define GS_TILE_LOADCONFIG(config) \
  do {                             \
    GS_TILE_MEMORY_IS_WRITTEN();   \
    _tile_loadconfig(config);      \
  } while (false)
#define GS_TILE_RELEASE() _tile_release()
#define GS_TILE_LOADD(tile, base, stride) \
  do {                                    \
    GS_TILE_MEMORY_IS_WRITTEN();          \
    _tile_loadd(tile, base, stride);      \
  } while (false)
#define GS_TILE_STORED(tile, base, stride) _tile_stored(tile, base, stride)
#define GS_TILE_ZERO(tile) _tile_zero(tile)
#define GS_TILE_DPBSUD(sum, left, right) _tile_dpbsud(sum, left, right)

#endif
