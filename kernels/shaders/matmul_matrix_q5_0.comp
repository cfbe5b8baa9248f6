// Cooperative matrix products with Q5_0 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q5_0.glsl"
#include "kernels/shaders/matmul_matrix.glsl"
