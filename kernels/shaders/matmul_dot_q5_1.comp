// Integer dot products with Q5_1 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_q5_1.glsl"
#include "kernels/shaders/matmul_dot.glsl"
