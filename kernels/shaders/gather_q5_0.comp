// Embedding rows of Q5_0.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ROW_MAJOR_TOO
#include "kernels/shaders/decode_q5_0.glsl"
#include "kernels/shaders/gather.glsl"
