// Integer dot products with Q4_0 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q4_0.glsl"
#include "kernels/shaders/matmul_dot.glsl"
