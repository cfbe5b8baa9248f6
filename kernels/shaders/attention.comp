// One query head of one token per workgroup: softmax(q . keys * scale) . values over the positions
// up to the token's own.
//
// Positions are taken in chunks of a workgroup: each invocation scores one, then all accumulate the
// chunk's values, rescaled when a larger score comes. The order depends on the position alone, so
// the result does not depend on the batch.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/half.glsl"
#include "kernels/shaders/memory.glsl"
#include "kernels/shaders/kv_row.glsl"

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
  Floats query;
  Floats attended;
  Words cache;  // of the layer
  uint first_position;
  uint positions;
  uint group_heads;  // query heads to a key/value head
  uint query_stride;
  uint attended_stride;
  float scale;
} push;

const float kLowest = -3.4028234e38;
const uint kLaneValues = (kValueLength + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;

shared float query_values[kKeyLength];
shared float weights[gl_WorkGroupSize.x];

#include "kernels/shaders/reduce.glsl"

float DotF32(uint row) {
  precise float sum = 0;
  for (uint i = 0; i < kKeyLength; ++i) {
    sum = fma(query_values[i], uintBitsToFloat(push.cache.at[row + i]), sum);
  }
  return sum;
}

float DotF16(uint row) {
  precise float sum = 0;
  for (uint i = 0; i < kKeyLength / 2; ++i) {
    const vec2 key = unpackHalf2x16(push.cache.at[row + i]);
    sum = fma(query_values[i * 2], key.x, sum);
    sum = fma(query_values[i * 2 + 1], key.y, sum);
  }
  if (kKeyLength % 2 != 0) {
    const vec2 key = unpackHalf2x16(push.cache.at[row + kKeyLength / 2]);
    sum = fma(query_values[kKeyLength - 1], key.x, sum);
  }
  return sum;
}

vec4 SignedBytes(uint word) {
  return vec4(ivec4(int(word << 24), int(word << 16), int(word << 8), int(word)) >> 24);
}

float DotQ8(uint row) {
  precise float sum = 0;
  for (uint group = 0; group < kKeyLength / 32; ++group) {
    precise float part = 0;
    for (uint i = 0; i < 8; ++i) {
      const uint at = group * 32 + i * 4;
      const vec4 key = SignedBytes(push.cache.at[row + group * 8 + i]);
      part = fma(query_values[at], key.x, part);
      part = fma(query_values[at + 1], key.y, part);
      part = fma(query_values[at + 2], key.z, part);
      part = fma(query_values[at + 3], key.w, part);
    }
    sum = fma(part, uintBitsToFloat(push.cache.at[row + kKeyLength / 4 + group]), sum);
  }
  return sum;
}

float Score(uint head, uint position) {
  const uint row = KeyRow(head, position, push.positions);
  if (kKvType == kKvF32) return DotF32(row) * push.scale;
  if (kKvType == kKvF16) return DotF16(row) * push.scale;
  return DotQ8(row) * push.scale;
}

float Value(uint row, uint index) {
  if (kKvType == kKvF32) return uintBitsToFloat(push.cache.at[row + index]);
  if (kKvType == kKvF16) return unpackHalf2x16(push.cache.at[row + index / 2])[index % 2];
  const int q = int(push.cache.at[row + index / 4] << (24 - index % 4 * 8)) >> 24;
  return float(q) * uintBitsToFloat(push.cache.at[row + kValueLength / 4 + index / 32]);
}

void main() {
  const uint lane = gl_LocalInvocationIndex;
  const uint head = gl_WorkGroupID.x;
  const uint token = gl_WorkGroupID.y;
  const uint kv_head = head / push.group_heads;
  const uint seen = push.first_position + token + 1;
  for (uint i = lane; i < kKeyLength; i += gl_WorkGroupSize.x) {
    query_values[i] = push.query.at[token * push.query_stride + head * kKeyLength + i];
  }
  barrier();

  float largest = kLowest;
  precise float weight_sum = 0;
  precise float values[kLaneValues];
  for (uint v = 0; v < kLaneValues; ++v) values[v] = 0;
  for (uint chunk = 0; chunk < seen; chunk += gl_WorkGroupSize.x) {
    const uint position = chunk + lane;
    const float score = position < seen ? Score(kv_head, position) : kLowest;
    const float new_largest = max(largest, MaxOfGroup(score));
    const float weight = position < seen ? exp(score - new_largest) : 0.0;
    const float shrink = exp(largest - new_largest);
    weights[lane] = weight;
    weight_sum = fma(weight_sum, shrink, SumOfGroup(weight));  // a barrier for `weights`, too
    largest = new_largest;
    const uint chunk_size = min(gl_WorkGroupSize.x, seen - chunk);
    for (uint v = 0; v < kLaneValues; ++v) {
      const uint index = v * gl_WorkGroupSize.x + lane;
      if (index >= kValueLength) break;
      precise float value = values[v] * shrink;
      for (uint i = 0; i < chunk_size; ++i) {
        value = fma(weights[i], Value(ValueRow(kv_head, chunk + i, push.positions), index), value);
      }
      values[v] = value;
    }
    barrier();
  }
  for (uint v = 0; v < kLaneValues; ++v) {
    const uint index = v * gl_WorkGroupSize.x + lane;
    if (index < kValueLength) {
      push.attended.at[token * push.attended_stride + head * kValueLength + index] =
          values[v] / weight_sum;
    }
  }
}
