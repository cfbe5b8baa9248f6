// Cooperative matrix products with IQ4_XS weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_iq4_xs.glsl"
#include "kernels/shaders/matmul_matrix.glsl"
