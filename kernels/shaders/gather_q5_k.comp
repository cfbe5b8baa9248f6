// Embedding rows of Q5_K.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ROW_MAJOR_TOO
#include "kernels/shaders/decode_q5_k.glsl"
#include "kernels/shaders/gather.glsl"
