// Matrix products with F16 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_f16.glsl"
#include "kernels/shaders/matmul.glsl"
