// Attention of many queries to one head's keys and values, for any Simd class.
//
// Positions are taken 32 at a time, always the same 32. Their keys are transposed once for up to 64
// queries, so that a vector holds one column of several positions, their values are converted once.
// Softmax runs along: weights refer to the largest score so far, and what was added up before is
// scaled down when a larger one comes.
//
// For a query q with running maximum m, sum s and result a, each block of positions P does
//   score[p] = scale * sum_d q[d] key[p][d]         one multiply-add after the other
//   m' = max(m, scores); f = e^(m - m'); w[p] = e^(score[p] - m')
//   s = s f + sum_p w[p];  a = a f + sum_p w[p] value[p], one position after the other
// so a query's result depends on nothing but itself and the (finite) rows that it sees.
// Thread-safety: pure functions over a task's memory.
#pragma once

#include <utility>

#include "kernels/cpu/attend_task.h"
#include "kernels/cpu/kv_rows_impl.h"
#include "kernels/cpu/vector_math.h"

namespace gguf_shard {

// Columns of kLanes vectors of kLanes lanes.
template <class Simd>
struct Transposition {
  using F32 = typename Simd::F32;
  static constexpr uint32_t kLanes = Simd::kLanes;

  // A perfect shuffle of all rows, once for each bit of a lane's number.
  static GS_INLINE void Run(F32 (&rows)[kLanes]) {
#pragma GCC unroll 4
    for (uint32_t step = 1; step < kLanes; step *= 2) Shuffle(rows, Lanes());
  }

 private:
  using Lanes = std::make_integer_sequence<int, static_cast<int>(kLanes)>;
  template <int... kIndex>
  static GS_INLINE void Shuffle(F32 (&rows)[kLanes], std::integer_sequence<int, kIndex...>) {
    constexpr int kCount = static_cast<int>(kLanes);
    F32 mixed[kLanes];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kLanes / 2; ++i) {
      const F32 a = rows[i];
      const F32 b = rows[i + kLanes / 2];
      mixed[2 * i] = __builtin_shufflevector(a, b, (kIndex / 2 + kIndex % 2 * kCount)...);
      mixed[2 * i + 1] =
          __builtin_shufflevector(a, b, (kCount / 2 + kIndex / 2 + kIndex % 2 * kCount)...);
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < kLanes; ++i) rows[i] = mixed[i];
  }
};

template <class Simd>
class AttendKernel {
  using Math = VectorMath<Simd>;
  using F32 = typename Simd::F32;
  using LoadRow = void (*)(const std::byte* row, size_t count, float* values);
  static constexpr uint32_t kLanes = Simd::kLanes;
  static constexpr uint32_t kPositions = kAttendPositions;
  static constexpr uint32_t kVectors = kPositions / kLanes;
  static constexpr uint32_t kQueryTile = 4;
  static constexpr uint32_t kValueVectors = kLanes == 16 ? 4 : 2;
  static constexpr float kLowest = -3.4e38f;  // below every score

 public:
  template <LoadRow kLoadRow>
  static void Run(const AttendTask& task) {
    const uint32_t queries = task.token_count * task.head_count;
    for (uint32_t first = 0; first < queries; first += kAttendQueries) {
      const uint32_t left = queries - first;
      AttendKernel(task, first, left < kAttendQueries ? left : kAttendQueries).Slice<kLoadRow>();
    }
  }

 private:
  AttendKernel(const AttendTask& task, uint32_t first_query, uint32_t query_count)
      : task_(task),
        first_query_(first_query),
        query_count_(query_count),
        key_width_(Padded(task.key_length)),
        value_width_(Padded(task.value_length)) {
    float* next = task.scratch;
    const auto take = [&](size_t count) { return std::exchange(next, next + count); };
    keys_ = take(size_t{kPositions} * key_width_);
    values_ = take(size_t{kPositions} * value_width_);
    rows_ = take(size_t{kAttendLanes} * key_width_);
    totals_ = take(size_t{kAttendQueries} * value_width_);
    weights_ = take(size_t{kAttendQueries} * kPositions);
    sums_ = take(size_t{kAttendQueries} * kAttendLanes);
    maxima_ = take(kAttendQueries);
    factors_ = take(kAttendQueries);
  }

  static uint32_t Padded(uint32_t count) {
    return (count + kAttendLanes - 1) / kAttendLanes * kAttendLanes;
  }
  uint32_t Token(uint32_t query) const { return (first_query_ + query) / task_.head_count; }
  uint32_t Head(uint32_t query) const { return (first_query_ + query) % task_.head_count; }
  // How many positions of a block a query sees.
  uint32_t Seen(uint32_t query, uint32_t first_position) const {
    const uint32_t end = task_.first_position + Token(query) + 1;
    if (end <= first_position) return 0;
    return end - first_position < kPositions ? end - first_position : kPositions;
  }
  const float* Query(uint32_t query) const {
    return task_.queries + Token(query) * task_.query_stride +
           size_t{Head(query)} * task_.key_length;
  }

  template <LoadRow kLoadRow>
  void Slice() {
    __builtin_memset(totals_, 0, size_t{query_count_} * value_width_ * sizeof(float));
    __builtin_memset(sums_, 0, size_t{query_count_} * kAttendLanes * sizeof(float));
    for (uint32_t query = 0; query < query_count_; ++query) maxima_[query] = kLowest;
    const uint32_t end = task_.first_position + Token(query_count_ - 1) + 1;
    for (uint32_t position = 0; position < end; position += kPositions) {
      const uint32_t rows = Seen(query_count_ - 1, position);  // the last query sees the most
      LoadKeys<kLoadRow>(position, rows);
      for (uint32_t row = 0; row < rows; ++row) {
        kLoadRow(task_.values + (size_t{position} + row) * task_.value_row_bytes,
                 task_.value_length, values_ + size_t{row} * value_width_);
      }
      for (uint32_t first = 0; first < query_count_; first += kQueryTile) Tile(first, position);
    }
    for (uint32_t query = 0; query < query_count_; ++query) Finish(query);
  }

  // keys_[column][position]; positions behind the last row are zero.
  template <LoadRow kLoadRow>
  void LoadKeys(uint32_t position, uint32_t rows) {
    for (uint32_t first = 0; first < kPositions; first += kLanes) {
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        float* row = rows_ + size_t{lane} * key_width_;
        if (first + lane >= rows) {
          __builtin_memset(row, 0, key_width_ * sizeof(float));
        } else {
          kLoadRow(task_.keys + (size_t{position} + first + lane) * task_.key_row_bytes,
                   task_.key_length, row);
        }
      }
      for (uint32_t column = 0; column < task_.key_length; column += kLanes) {
        F32 square[kLanes];
#pragma GCC unroll 16
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
          square[lane] = Simd::LoadF32(rows_ + size_t{lane} * key_width_ + column);
        }
        Transposition<Simd>::Run(square);
#pragma GCC unroll 16
        for (uint32_t i = 0; i < kLanes; ++i) {
          Simd::StoreF32(keys_ + size_t{column + i} * kPositions + first, square[i]);
        }
      }
    }
  }

  // One block of positions for up to four queries.
  void Tile(uint32_t first_query, uint32_t position) {
    const uint32_t left = query_count_ - first_query;
    const uint32_t count = left < kQueryTile ? left : kQueryTile;
    if (Seen(first_query + count - 1, position) == 0) return;
    const float* queries[kQueryTile];
    for (uint32_t i = 0; i < kQueryTile; ++i) {
      queries[i] = Query(first_query + (i < count ? i : count - 1));
    }
    for (uint32_t vector = 0; vector < kVectors; vector += 2) {
      Scores(first_query, queries, vector * kLanes);
    }
    for (uint32_t i = 0; i < count; ++i) Weigh(first_query + i, Seen(first_query + i, position));
    const uint32_t rows = Seen(first_query + count - 1, position);
    for (uint32_t column = 0; column < value_width_; column += kLanes * kValueVectors) {
      if (value_width_ - column >= kLanes * kValueVectors) {
        AddValues<kValueVectors>(first_query, rows, column);
      } else {
        for (uint32_t c = column; c < value_width_; c += kLanes) {
          AddValues<1>(first_query, rows, c);
        }
      }
    }
  }

  // weights_ = scores of two vectors of positions, for all queries of the tile. Those behind the
  // last query have room of their own, and are not used.
  GS_INLINE void Scores(uint32_t first_query, const float* const (&queries)[kQueryTile],
                        uint32_t first_position) {
    F32 sums[kQueryTile][2];
    for (uint32_t i = 0; i < kQueryTile; ++i) sums[i][0] = sums[i][1] = Simd::ZeroF32();
    const float* keys = keys_ + first_position;
    for (uint32_t column = 0; column < task_.key_length; ++column, keys += kPositions) {
      const F32 a = Simd::LoadF32(keys);
      const F32 b = Simd::LoadF32(keys + kLanes);
#pragma GCC unroll 4
      for (uint32_t i = 0; i < kQueryTile; ++i) {
        const F32 value = Simd::SplatF32(queries[i][column]);
        sums[i][0] = Simd::MulAdd(value, a, sums[i][0]);
        sums[i][1] = Simd::MulAdd(value, b, sums[i][1]);
      }
    }
    for (uint32_t i = 0; i < kQueryTile; ++i) {
      float* scores = Weights(first_query + i) + first_position;
      Simd::StoreF32(scores, sums[i][0] * task_.scale);
      Simd::StoreF32(scores + kLanes, sums[i][1] * task_.scale);
    }
  }

  // Scores to weights; those of unseen positions are zero.
  GS_INLINE void Weigh(uint32_t query, uint32_t seen) {
    float* weights = Weights(query);
    factors_[query] = 1;
    for (uint32_t i = seen; i < kPositions; ++i) weights[i] = kLowest;
    F32 largest = Simd::LoadF32(weights);
    for (uint32_t v = 1; v < kVectors; ++v) {
      largest = Simd::Max(largest, Simd::LoadF32(weights + v * kLanes));
    }
    const float before = maxima_[query];
    const float block = Math::Largest(largest);
    const float maximum = block > before ? block : before;
    const F32 splat = Simd::SplatF32(maximum);
    for (uint32_t v = 0; v < kVectors; ++v) {
      float* at = weights + v * kLanes;
      Simd::StoreF32(at, Math::Exp(Simd::LoadF32(at) - splat));
    }
    for (uint32_t i = seen; i < kPositions; ++i) weights[i] = 0;
    if (maximum != before) {
      factors_[query] = Math::Exp(Simd::SplatF32(before - maximum))[0];
      maxima_[query] = maximum;
    }
    float* sums = sums_ + size_t{query} * kAttendLanes;
    F32 sum = Simd::LoadF32(sums) * factors_[query];
    for (uint32_t v = 0; v < kVectors; ++v) sum = sum + Simd::LoadF32(weights + v * kLanes);
    Simd::StoreF32(sums, sum);
  }

  template <uint32_t kCount>
  GS_INLINE void AddValues(uint32_t first_query, uint32_t rows, uint32_t column) {
    F32 totals[kQueryTile][kCount];
    for (uint32_t i = 0; i < kQueryTile; ++i) {
      const float* target = Totals(first_query + i) + column;
      for (uint32_t k = 0; k < kCount; ++k) {
        totals[i][k] = Simd::LoadF32(target + k * kLanes) * factors_[first_query + i];
      }
    }
    const float* values = values_ + column;
    const float* weights = Weights(first_query);
    for (uint32_t row = 0; row < rows; ++row, values += value_width_, ++weights) {
      F32 value[kCount];
      for (uint32_t k = 0; k < kCount; ++k) value[k] = Simd::LoadF32(values + k * kLanes);
#pragma GCC unroll 4
      for (uint32_t i = 0; i < kQueryTile; ++i) {
        const F32 weight = Simd::SplatF32(weights[i * kPositions]);
        for (uint32_t k = 0; k < kCount; ++k) {
          totals[i][k] = Simd::MulAdd(weight, value[k], totals[i][k]);
        }
      }
    }
    for (uint32_t i = 0; i < kQueryTile; ++i) {
      float* target = Totals(first_query + i) + column;
      for (uint32_t k = 0; k < kCount; ++k) Simd::StoreF32(target + k * kLanes, totals[i][k]);
    }
  }

  void Finish(uint32_t query) const {
    const float sum = Math::Sum(Simd::LoadF32(sums_ + size_t{query} * kAttendLanes));
    const float* totals = Totals(query);
    float* attended = task_.attended + Token(query) * task_.attended_stride +
                      size_t{Head(query)} * task_.value_length;
    const float factor = 1.0f / sum;
    for (uint32_t i = 0; i < task_.value_length; ++i) attended[i] = totals[i] * factor;
  }

  float* Weights(uint32_t query) const { return weights_ + size_t{query} * kPositions; }
  float* Totals(uint32_t query) const { return totals_ + size_t{query} * value_width_; }

  const AttendTask& task_;
  uint32_t first_query_;
  uint32_t query_count_;
  uint32_t key_width_;
  uint32_t value_width_;
  float* keys_;
  float* values_;
  float* rows_;
  float* totals_;
  float* weights_;
  float* sums_;
  float* maxima_;
  float* factors_;
};

}  // namespace gguf_shard
