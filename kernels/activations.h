// A batch of activation vectors in the form the quantized kernels read.
//
// Each vector is cut into groups of 32 values; a group has one f32 scale and 32 16-bit integers
// q = round(x / scale), |q| <= 127 * 256, kept as two int8 planes: q = 256 * high + low. Two 8-bit
// dot products then give a 16-bit activation: the quantization of activations costs about 2^-15
// instead of the 2^-7 of plain 8-bit activations, at the price of a second VNNI instruction on data
// already loaded.
//
//   high[token][column], low[token][column]   int8, padded with zeros to kColumnAlignment columns
//   scale[token][group]                       f32
//   sum[token][half_group]                    f32: scale * sum of q over 16 columns (for type
//   minima
//                                             and for offsets of unsigned weights)
//   values[token][column]                     f32 copy, padded (float kernels)
//
// Reserve() allocates once; Quantize() never allocates. Quantize of different tokens may run on
// different threads; reading is thread-safe once they are done.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gguf_shard {

class ActivationBatch {
 public:
  static constexpr uint32_t kGroupColumns = 32;
  static constexpr uint32_t kHalfGroupColumns = 16;
  static constexpr uint32_t kColumnAlignment = 256;

  // Bytes that Reserve() would allocate; the memory budget counts them.
  static uint64_t ReserveBytes(uint32_t max_tokens, uint32_t max_columns);
  void Reserve(uint32_t max_tokens, uint32_t max_columns);

  // Sets the shape; contents are undefined until each token is quantized.
  void Resize(uint32_t tokens, uint32_t columns);
  // Quantizes `columns()` finite values into token `token`.
  void Quantize(uint32_t token, const float* values);

  uint32_t tokens() const { return tokens_; }
  uint32_t columns() const { return columns_; }
  uint32_t padded_columns() const { return padded_columns_; }

  const int8_t* high(uint32_t token) const {
    return high_.data() + size_t{token} * padded_columns_;
  }
  const int8_t* low(uint32_t token) const { return low_.data() + size_t{token} * padded_columns_; }
  const float* scale(uint32_t token) const {
    return scale_.data() + size_t{token} * (padded_columns_ / kGroupColumns);
  }
  const float* sum(uint32_t token) const {
    return sum_.data() + size_t{token} * (padded_columns_ / kHalfGroupColumns);
  }
  const float* values(uint32_t token) const {
    return values_.data() + size_t{token} * padded_columns_;
  }

 private:
  uint32_t tokens_ = 0;
  uint32_t columns_ = 0;
  uint32_t padded_columns_ = 0;
  std::vector<int8_t> high_;
  std::vector<int8_t> low_;
  std::vector<float> scale_;
  std::vector<float> sum_;
  std::vector<float> values_;
};

}  // namespace gguf_shard
