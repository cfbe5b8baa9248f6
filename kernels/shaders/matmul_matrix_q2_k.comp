// Cooperative matrix products with Q2_K weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q2_k.glsl"
#include "kernels/shaders/matmul_matrix.glsl"
