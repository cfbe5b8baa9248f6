// AVX-512 VNNI plus the tile registers of AMX: products of 16 tokens and 16 rows at a time. Only
// for sources that kernels/flags.cmake compiles with these. Thread-safety: tile registers belong to
// the thread; Configure comes first, Release when the products are done.
//
// A tile of activations is 16 tokens x kWords words, a tile of weights kWords x 16 rows as planes
// lie in a page, four bytes of a row to a word.
#pragma once

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/simd_avx512.h"

namespace gguf_shard::amx {

struct Simd : avx512::Simd {
  static constexpr bool kTiles = true;
  static constexpr uint32_t kTileTokens = 16;

  // For weights of `words` words a row.
  static void Configure(uint32_t words) {
    struct alignas(64) {
      uint8_t palette = 1;
      uint8_t start_row = 0;
      uint8_t reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    const auto set = [&](int tile, uint32_t rows, uint32_t row_bytes) {
      shape.rows[tile] = static_cast<uint8_t>(rows);
      shape.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
    };
    for (int tile = 0; tile < 4; ++tile) set(tile, kTileTokens, kLanes * 4);
    for (int tile = 4; tile < 6; ++tile) set(tile, kTileTokens, words * 4);
    for (int tile = 6; tile < 8; ++tile) set(tile, words, kLanes * 4);
    GS_TILE_LOADCONFIG(&shape);
  }
  static void Release() { GS_TILE_RELEASE(); }

  // products[0..15][row] = high planes x weights, products[16..31][row] = low planes x weights.
  // kTurn alternates the registers of neighbouring calls, so that one need not wait for the other.
  template <uint32_t kTurn>
  static GS_INLINE void MultiplyTile(const void* weights, const std::byte* planes, size_t stride,
                                     void* products) {
    if constexpr (kTurn == 0) {
      GS_TILE_LOADD(6, weights, kLanes * 4);
      GS_TILE_LOADD(4, planes, stride);
      GS_TILE_ZERO(0);
      GS_TILE_DPBSUD(0, 4, 6);
      GS_TILE_LOADD(5, planes + 32, stride);
      GS_TILE_ZERO(1);
      GS_TILE_DPBSUD(1, 5, 6);
      GS_TILE_STORED(0, products, kLanes * 4);
      GS_TILE_STORED(1, static_cast<std::byte*>(products) + 1024, kLanes * 4);
    } else {
      GS_TILE_LOADD(7, weights, kLanes * 4);
      GS_TILE_LOADD(4, planes, stride);
      GS_TILE_ZERO(2);
      GS_TILE_DPBSUD(2, 4, 7);
      GS_TILE_LOADD(5, planes + 32, stride);
      GS_TILE_ZERO(3);
      GS_TILE_DPBSUD(3, 5, 7);
      GS_TILE_STORED(2, products, kLanes * 4);
      GS_TILE_STORED(3, static_cast<std::byte*>(products) + 1024, kLanes * 4);
    }
  }
};

}  // namespace gguf_shard::amx
