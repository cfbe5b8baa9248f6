// Integer dot products with Q6_K weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q6_k.glsl"
#include "kernels/shaders/matmul_dot.glsl"
