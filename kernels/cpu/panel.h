// A panel: some blocks of a page for all of its rows, unpacked once and used for many tokens.
//
//   words[vector][sub][word][lane]   unsigned weights, four columns to a word, one row per lane
//   scale, offset[vector][sub][lane]
//
// "Sub" counts the sub-blocks (columns that share a scale) of the panel's blocks. The words of one
// sub-block are the tile of weights that simd_amx.h multiplies. Thread-safety: plain data.
#pragma once

#include "kernels/cpu/decode_common.h"
#include "kernels/cpu/strip_walk.h"

namespace gguf_shard {

template <class Simd, template <class> class Decoder>
class Panel {
 public:
  static constexpr uint32_t kLanes = Simd::kLanes;
  static constexpr uint32_t kSubColumns = Decoder<Simd>::kSubColumns;
  static constexpr uint32_t kWords = kSubColumns / 4;
  static constexpr uint32_t kBlockWeights = Decoder<Simd>::kBlockWeights;
  static constexpr uint32_t kSubsPerBlock = kBlockWeights / kSubColumns;
  // Small enough that panel, products and activations stay in the first cache.
  static constexpr uint32_t kMaxColumns = 512;
  static constexpr uint32_t kMaxVectors = (kTaskMaxTileRows + kLanes - 1) / kLanes;
  static constexpr uint32_t kMaxTiles = kTaskMaxTileRows * 256 / (kLanes * kSubColumns);

  // How many blocks fit a panel.
  static uint32_t BlocksAtOnce(uint32_t vectors) {
    const uint32_t fitting = kMaxTiles / (kSubsPerBlock * vectors);
    const uint32_t wide = kMaxColumns / kBlockWeights;
    return fitting < wide ? fitting : wide;
  }

  uint32_t sub_count() const { return sub_count_; }
  const void* words(uint32_t vector, uint32_t sub) const {
    return words_[vector * sub_count_ + sub];
  }
  typename Simd::F32 scale(uint32_t vector, uint32_t sub) const {
    return Simd::LoadF32(scale_[vector * sub_count_ + sub]);
  }
  typename Simd::F32 offset(uint32_t vector, uint32_t sub) const {
    return Simd::LoadF32(offset_[vector * sub_count_ + sub]);
  }

  // `first_rows`: of each vector of rows.
  void Unpack(const MatMulTask& task, const std::byte* page, uint32_t first_block,
              uint32_t block_count, const uint32_t* first_rows, uint32_t vectors) {
    sub_count_ = block_count * kSubsPerBlock;
    for (uint32_t v = 0; v < vectors; ++v) {
      BlockPlanes<0> planes;
      planes.tile_rows = task.tile_rows;
      planes.second_words = planes.second_shorts = 0;
      planes.words = page + first_rows[v] * 4 +
                     size_t{first_block} * task.words_per_block * planes.word_stride();
      planes.shorts = page + task.short_planes_offset +
                      (size_t{first_block} * task.tile_rows + first_rows[v]) * task.short_bytes;
      for (uint32_t block = 0; block < block_count; ++block) {
        Target target{this, v * sub_count_ + block * kSubsPerBlock};
        Decoder<Simd>::Decode(planes, target);
        planes.words += planes.word_stride() * task.words_per_block;
        planes.shorts += size_t{task.tile_rows} * task.short_bytes;
      }
    }
  }

 private:
  struct Target {
    static constexpr bool kOneToken = false;
    Panel* panel;
    uint32_t first_tile;

    template <uint32_t kSub>
    GS_INLINE void Add(typename Simd::F32 scale, typename Simd::F32 offset,
                       const typename Simd::U32 (&words)[kWords]) {
      const uint32_t tile = first_tile + kSub;
      Simd::StoreF32(panel->scale_[tile], scale);
      Simd::StoreF32(panel->offset_[tile], offset);
#pragma GCC unroll 8
      for (uint32_t w = 0; w < kWords; ++w) {
        __builtin_memcpy(panel->words_[tile][w], &words[w], sizeof words[w]);
      }
      __asm__ volatile("" ::: "memory");  // sub-block by sub-block, as in quantized_tile.h
    }
  };

  uint32_t sub_count_ = 0;
  alignas(64) uint32_t words_[kMaxTiles][kWords][kLanes];
  alignas(64) float scale_[kMaxTiles][kLanes];
  alignas(64) float offset_[kMaxTiles][kLanes];
};

}  // namespace gguf_shard
