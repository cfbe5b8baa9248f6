// Activations for integer dot products, in units of 32 columns:
//
//   [scale f32][sum of the first 16][sum of the others][0]   sums int32
//   [high: 32 int8][low: 32 int8]                            x = scale * (256 * high + low)
//
// 16 bits for a value, as the processor's kernels have them: 2^-15 of the unit's largest.
const uint kPackedVectors = 5;             // of 16 bytes, in a unit
const float kLargestPacked = 127.0 * 256;  // high stays an int8 after rounding

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Packed { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer PackedOut {
  uvec4 at[];
};
