// One token per workgroup: softmax over the experts, the most probable ones (the lower number on a
// tie) in rising order, their probabilities scaled to sum to 1.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/memory.glsl"

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
  Floats router;  // [token][stride] scores; changed
  Words chosen;   // [token][used_count]
  Floats weights;  // [token][used_count]
  uint expert_count;
  uint used_count;
  uint stride;
} push;

const uint kNone = 0xffffffffu;
const float kTaken = -1.0;  // below every probability

shared uint best_experts[gl_WorkGroupSize.x];

#include "kernels/shaders/reduce.glsl"

void Softmax(uint first) {
  float largest = push.router.at[first];
  for (uint i = gl_LocalInvocationIndex; i < push.expert_count; i += gl_WorkGroupSize.x) {
    largest = max(largest, push.router.at[first + i]);
  }
  largest = MaxOfGroup(largest);
  precise float sum = 0;
  for (uint i = gl_LocalInvocationIndex; i < push.expert_count; i += gl_WorkGroupSize.x) {
    const float value = exp(push.router.at[first + i] - largest);
    push.router.at[first + i] = value;
    sum += value;
  }
  sum = SumOfGroup(sum);
  for (uint i = gl_LocalInvocationIndex; i < push.expert_count; i += gl_WorkGroupSize.x) {
    push.router.at[first + i] /= sum;
  }
}

// The most probable expert that is not taken yet, marked as taken; its probability.
uint TakeBest(uint first, out float probability) {
  float best = kTaken;
  uint best_expert = kNone;
  for (uint i = gl_LocalInvocationIndex; i < push.expert_count; i += gl_WorkGroupSize.x) {
    const float value = push.router.at[first + i];
    if (value > best) {
      best = value;
      best_expert = i;
    }
  }
  probability = MaxOfGroup(best);
  best_experts[gl_LocalInvocationIndex] = best == probability ? best_expert : kNone;
  barrier();
  uint expert = kNone;
  for (uint lane = 0; lane < gl_WorkGroupSize.x; ++lane) expert = min(expert, best_experts[lane]);
  if (expert % gl_WorkGroupSize.x == gl_LocalInvocationIndex && expert < push.expert_count) {
    push.router.at[first + expert] = kTaken;
  }
  barrier();
  return min(expert, push.expert_count - 1);  // probabilities that are no numbers choose something
}

void main() {
  const uint token = gl_WorkGroupID.x;
  const uint first = token * push.stride;
  const uint first_choice = token * push.used_count;
  Softmax(first);
  for (uint slot = 0; slot < push.used_count; ++slot) {
    float probability;
    const uint expert = TakeBest(first, probability);
    if (gl_LocalInvocationIndex == 0) {
      uint at = first_choice + slot;  // an insertion that keeps the choices sorted
      for (; at > first_choice && push.chosen.at[at - 1] > expert; --at) {
        push.chosen.at[at] = push.chosen.at[at - 1];
        push.weights.at[at] = push.weights.at[at - 1];
      }
      push.chosen.at[at] = expert;
      push.weights.at[at] = probability;
    }
  }
  if (gl_LocalInvocationIndex != 0) return;
  precise float sum = 0;
  for (uint slot = 0; slot < push.used_count; ++slot) sum += push.weights.at[first_choice + slot];
  sum = max(sum, 6.103515625e-5);  // the smallest normal f16, as the models were trained
  for (uint slot = 0; slot < push.used_count; ++slot) push.weights.at[first_choice + slot] /= sum;
}
