// A batch of activation vectors in the form the kernels read.
//
// Each vector is cut into groups of 32 values; a group has one f32 scale and 32 16-bit integers
// q = round(x / scale), |q| <= 127 * 256, kept as two int8 planes: q = 256 * high + low. Two 8-bit
// dot products then give a 16-bit activation: the quantization of activations costs about 2^-15
// instead of the 2^-7 of plain 8-bit activations, at the price of a second VNNI instruction on data
// already loaded.
//
// Memory of one token, `padded` = columns rounded up to kColumnAlignment, G = padded / 32 groups;
// everything behind `columns` is zero:
//
//   0              G*64                G*80              G*80 + padded*4
//   +--------------+-------------------+-----------------+------+
//   | G x {high:32,| G x {scale, sum,  | padded x f32    | skew |
//   |      low:32} |      half_sum[2]} | values          |  64  |
//   +--------------+-------------------+-----------------+------+
//
// so a group's integers are one cache line, its factors a quarter of one, and one pointer per token
// reaches all of it. The skew keeps tokens from falling into the same cache sets.
//
// Reserve() allocates once; Quantize() never allocates. Quantize of different tokens may run on
// different threads; reading is thread-safe once they are done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gguf_shard {

struct ActivationGroup {
  int8_t high[32];
  int8_t low[32];
};

struct ActivationFactors {
  float scale;
  float sum;          // scale * sum of q over the group: for type minima and weight offsets
  float half_sum[2];  // the same over each 16 columns
};

class ActivationBatch {
 public:
  static constexpr uint32_t kGroupColumns = 32;
  static constexpr uint32_t kHalfGroupColumns = 16;
  static constexpr uint32_t kColumnAlignment = 256;

  // Bytes that Reserve() would allocate; the memory budget counts them.
  static uint64_t ReserveBytes(uint32_t max_tokens, uint32_t max_columns);
  void Reserve(uint32_t max_tokens, uint32_t max_columns);

  // Sets the shape, within what was reserved; contents are undefined until each token is quantized.
  void Resize(uint32_t tokens, uint32_t columns);
  // Quantizes `columns()` finite values into token `token`. A group that holds a NaN or an infinity
  // gets a scale that is not finite either, so that the fault shows in the products.
  void Quantize(uint32_t token, const float* values);

  uint32_t tokens() const { return tokens_; }
  uint32_t columns() const { return columns_; }
  uint32_t padded_columns() const { return padded_columns_; }

  const ActivationGroup* groups(uint32_t token) const {
    return reinterpret_cast<const ActivationGroup*>(TokenBytes(token));
  }
  const ActivationFactors* factors(uint32_t token) const {
    return reinterpret_cast<const ActivationFactors*>(TokenBytes(token) + factors_offset());
  }
  const float* values(uint32_t token) const {
    return reinterpret_cast<const float*>(TokenBytes(token) + values_offset());
  }

  // For kernels that address by bytes: token 0, the distance between tokens, the places within one.
  const std::byte* data() const { return TokenBytes(0); }
  size_t token_stride_bytes() const { return token_lines_ * sizeof(Line); }
  size_t factors_offset() const { return size_t{padded_columns_} * 2; }
  size_t values_offset() const { return size_t{padded_columns_} / 2 * 5; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  static uint64_t TokenLines(uint32_t padded_columns);
  const std::byte* TokenBytes(uint32_t token) const {
    return reinterpret_cast<const std::byte*>(lines_.data() + token * token_lines_);
  }

  uint32_t tokens_ = 0;
  uint32_t columns_ = 0;
  uint32_t padded_columns_ = 0;
  size_t token_lines_ = 0;
  std::vector<Line> lines_;
};

}  // namespace gguf_shard
