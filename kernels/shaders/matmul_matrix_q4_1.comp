// Cooperative matrix products with Q4_1 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q4_1.glsl"
#include "kernels/shaders/matmul_matrix.glsl"
