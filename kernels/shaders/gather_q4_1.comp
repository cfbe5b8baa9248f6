// Embedding rows of Q4_1.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ROW_MAJOR_TOO
#include "kernels/shaders/decode_q4_1.glsl"
#include "kernels/shaders/gather.glsl"
