// Matrix products with F32 weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_f32.glsl"
#include "kernels/shaders/matmul.glsl"
