// Cooperative matrix products with IQ4_NL weights.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/shaders/decode_iq4_nl.glsl"
#include "kernels/shaders/matmul_matrix.glsl"
