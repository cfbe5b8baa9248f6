// The tile instructions of AMX in plain C++, after the instruction set reference (palette 1): what
// kernels/cpu/amx_tiles.h stands for in tests on processors without them. What the processor
// answers with an exception fails a GS_CHECK here. Thread-safety: one model per thread, as one set
// of tile registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/check.h"

namespace gguf_shard::amx {

class TileModel {
 public:
  static constexpr uint32_t kTiles = 8;
  static constexpr uint32_t kMaxRows = 16;
  static constexpr uint32_t kMaxRowBytes = 64;

  // LDTILECFG: 64 bytes.
  //    0  palette    1  start row    2..15  zero
  //   16  bytes per row of tiles 0..7, 16 bits each    32..47  zero
  //   48  rows of tiles 0..7                           56..63  zero
  void LoadConfig(const void* source) {
    uint8_t config[64];
    std::memcpy(config, source, sizeof config);
    Release();
    if (config[0] == 0) return;
    GS_CHECK(config[0] == 1);
    // Another start row is for loads that a page fault broke off.
    CheckZero(config, 1, 16);
    CheckZero(config, 32, 48);
    CheckZero(config, 56, 64);
    for (uint32_t tile = 0; tile < kTiles; ++tile) {
      Tile& t = tiles_[tile];
      t.row_bytes = config[16 + 2 * tile] | uint32_t{config[17 + 2 * tile]} << 8;
      t.rows = config[48 + tile];
      GS_CHECK(t.rows <= kMaxRows && t.row_bytes <= kMaxRowBytes);
      GS_CHECK((t.rows == 0) == (t.row_bytes == 0));
    }
    configured_ = true;
  }

  // TILERELEASE
  void Release() {
    std::memset(tiles_, 0, sizeof tiles_);
    configured_ = false;
  }

  // TILELOADD: rows `stride` bytes apart; what lies behind the configured shape becomes zero.
  void Load(uint32_t tile, const void* base, size_t stride) {
    Tile& t = Valid(tile);
    std::memset(t.bytes, 0, sizeof t.bytes);
    for (uint32_t row = 0; row < t.rows; ++row) {
      std::memcpy(t.bytes[row], static_cast<const std::byte*>(base) + row * stride, t.row_bytes);
    }
  }

  // TILESTORED
  void Store(uint32_t tile, void* base, size_t stride) {
    const Tile& t = Valid(tile);
    for (uint32_t row = 0; row < t.rows; ++row) {
      std::memcpy(static_cast<std::byte*>(base) + row * stride, t.bytes[row], t.row_bytes);
    }
  }

  // TILEZERO
  void Zero(uint32_t tile) {
    Tile& t = Valid(tile);
    std::memset(t.bytes, 0, sizeof t.bytes);
  }

  // TDPBSUD: c[m][n] += sum over k and four bytes of a[m][k] (signed) * b[k][n] (unsigned), modulo
  // 2^32.
  void MultiplyAdd(uint32_t c, uint32_t a, uint32_t b) {
    GS_CHECK(c != a && c != b && a != b);
    Tile& sum = Valid(c);
    const Tile& left = Valid(a);
    const Tile& right = Valid(b);
    GS_CHECK(left.row_bytes % 4 == 0 && right.row_bytes % 4 == 0);
    GS_CHECK(sum.rows == left.rows && sum.row_bytes == right.row_bytes);
    GS_CHECK(left.row_bytes / 4 == right.rows);
    for (uint32_t m = 0; m < sum.rows; ++m) {
      uint32_t row[kMaxRowBytes / 4];
      std::memcpy(row, sum.bytes[m], sizeof row);
      for (uint32_t k = 0; k < right.rows; ++k) {
        AddProducts(left.bytes[m] + 4 * k, right.bytes[k], row);
      }
      std::memcpy(sum.bytes[m], row, sizeof row);
    }
    // Rows and columns behind the shape are zero already: loads and TILEZERO left them so.
  }

 private:
  struct Tile {
    uint32_t rows;
    uint32_t row_bytes;
    uint8_t bytes[kMaxRows][kMaxRowBytes];
  };

  static void CheckZero(const uint8_t* config, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; ++i) GS_CHECK(config[i] == 0);
  }

  static void AddProducts(const uint8_t* four, const uint8_t* words, uint32_t* row) {
    for (uint32_t n = 0; n < kMaxRowBytes / 4; ++n) {
      for (uint32_t i = 0; i < 4; ++i) {
        const int32_t product = int32_t{static_cast<int8_t>(four[i])} * words[4 * n + i];
        row[n] += static_cast<uint32_t>(product);
      }
    }
  }

  Tile& Valid(uint32_t tile) {
    GS_CHECK(configured_ && tile < kTiles && tiles_[tile].rows != 0);
    return tiles_[tile];
  }

  bool configured_ = false;
  Tile tiles_[kTiles] = {};
};

// The calling thread's.
inline TileModel& ThreadTiles() {
  thread_local TileModel tiles;
  return tiles;
}

}  // namespace gguf_shard::amx
