// Embedding rows of IQ4_XS.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ROW_MAJOR_TOO
#include "kernels/shaders/decode_iq4_xs.glsl"
#include "kernels/shaders/gather.glsl"
