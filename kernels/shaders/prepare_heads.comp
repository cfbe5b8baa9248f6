// One head of one token per workgroup: adds the projection's bias, norms and turns the head, and
// stores keys and values in the cache. Heads are numbered query, key, value.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/half.glsl"
#include "kernels/shaders/memory.glsl"
#include "kernels/shaders/kv_row.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 4) const uint kRotated = 128;   // values of a head that are turned
layout(constant_id = 5) const bool kAdjacent = true;  // pairs are neighbours, not half a head apart

layout(push_constant) uniform Push {
  Floats query;  // changed in place
  Floats key;
  Floats value;
  Floats bias;   // query, key, value, one after another; read when has_bias
  Floats norms;  // query, key; read when has_norms
  Floats turns;  // [token] x kRotated / 2 x (cosine, sine)
  Words cache;   // of the layer
  uint head_count;
  uint head_count_kv;
  uint first_position;
  uint positions;
  uint query_stride;
  uint key_stride;
  uint value_stride;
  float epsilon;
  uint has_bias;
  uint has_norms;
} push;

const uint kLongest = kKeyLength > kValueLength ? kKeyLength : kValueLength;
shared float head_values[kLongest];

#include "kernels/shaders/reduce.glsl"

void Norm(uint first_norm) {
  precise float squares = 0;
  for (uint i = gl_LocalInvocationIndex; i < kKeyLength; i += gl_WorkGroupSize.x) {
    squares = fma(head_values[i], head_values[i], squares);
  }
  const float scale = 1.0 / sqrt(SumOfGroup(squares) / float(kKeyLength) + push.epsilon);
  for (uint i = gl_LocalInvocationIndex; i < kKeyLength; i += gl_WorkGroupSize.x) {
    head_values[i] *= scale * push.norms.at[first_norm + i];
  }
  barrier();
}

void Turn(uint token) {
  for (uint pair = gl_LocalInvocationIndex; pair < kRotated / 2; pair += gl_WorkGroupSize.x) {
    const uint first = kAdjacent ? pair * 2 : pair;
    const uint second = kAdjacent ? first + 1 : first + kRotated / 2;
    const float cosine = push.turns.at[token * kRotated + pair * 2];
    const float sine = push.turns.at[token * kRotated + pair * 2 + 1];
    precise const float x = head_values[first];
    precise const float y = head_values[second];
    precise const float turned_x = x * cosine - y * sine;
    precise const float turned_y = x * sine + y * cosine;
    head_values[first] = turned_x;
    head_values[second] = turned_y;
  }
  barrier();
}

// 32 values from `first` on: int8 in units of a scale.
void StoreQ8Group(uint row, uint count, uint group) {
  const uint first = group * 32;
  float largest = 0;
  for (uint i = 0; i < 32; ++i) largest = max(largest, abs(head_values[first + i]));
  const float scale = largest / 127.0;
  const float inverse = largest > 0 ? 127.0 / largest : 0.0;
  for (uint word = 0; word < 8; ++word) {
    uint packed = 0;
    for (uint i = 0; i < 4; ++i) {
      const int q = int(roundEven(head_values[first + word * 4 + i] * inverse));
      packed |= (uint(q) & 0xffu) << i * 8;
    }
    push.cache.at[row + group * 8 + word] = packed;
  }
  push.cache.at[row + count / 4 + group] = floatBitsToUint(scale);
}

void Store(uint row, uint count) {
  const uint lane = gl_LocalInvocationIndex;
  if (kKvType == kKvF32) {
    for (uint i = lane; i < count; i += gl_WorkGroupSize.x) {
      push.cache.at[row + i] = floatBitsToUint(head_values[i]);
    }
  } else if (kKvType == kKvF16) {
    for (uint i = lane; i < (count + 1) / 2; i += gl_WorkGroupSize.x) {
      const float second = i * 2 + 1 < count ? head_values[i * 2 + 1] : 0.0;
      push.cache.at[row + i] = packHalf2x16(vec2(head_values[i * 2], second));
    }
  } else {
    for (uint group = lane; group < count / 32; group += gl_WorkGroupSize.x) {
      StoreQ8Group(row, count, group);
    }
  }
}

// Leaves the head's values, with their bias, in head_values.
void Load(Floats values, uint first, uint count, uint first_bias) {
  for (uint i = gl_LocalInvocationIndex; i < count; i += gl_WorkGroupSize.x) {
    float value = values.at[first + i];
    if (push.has_bias != 0) value += push.bias.at[first_bias + i];
    head_values[i] = value;
  }
  barrier();
}

void main() {
  const uint token = gl_WorkGroupID.y;
  const uint position = push.first_position + token;
  const uint key_heads_end = push.head_count + push.head_count_kv;
  const uint index = gl_WorkGroupID.x;
  if (index >= key_heads_end) {
    const uint head = index - key_heads_end;
    Load(push.value, token * push.value_stride + head * kValueLength, kValueLength,
         key_heads_end * kKeyLength + head * kValueLength);
    Store(ValueRow(head, position, push.positions), kValueLength);
    return;
  }
  const bool is_query = index < push.head_count;
  const uint head = is_query ? index : index - push.head_count;
  if (is_query) {
    Load(push.query, token * push.query_stride + head * kKeyLength, kKeyLength, index * kKeyLength);
  } else {
    Load(push.key, token * push.key_stride + head * kKeyLength, kKeyLength, index * kKeyLength);
  }
  if (push.has_norms != 0) Norm(is_query ? 0 : kKeyLength);
  Turn(token);
  if (!is_query) {
    Store(KeyRow(head, position, push.positions), kKeyLength);
    return;
  }
  for (uint i = gl_LocalInvocationIndex; i < kKeyLength; i += gl_WorkGroupSize.x) {
    push.query.at[token * push.query_stride + head * kKeyLength + i] = head_values[i];
  }
}
