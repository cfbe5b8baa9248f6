// Integer dot products with MXFP4 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_mxfp4.glsl"
#include "kernels/shaders/matmul_dot.glsl"
