// Embedding rows of F16.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ROW_MAJOR_TOO
#include "kernels/shaders/decode_f16.glsl"
#include "kernels/shaders/gather.glsl"
