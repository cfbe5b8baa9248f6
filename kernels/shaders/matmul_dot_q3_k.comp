// Integer dot products with Q3_K weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q3_k.glsl"
#include "kernels/shaders/matmul_dot.glsl"
