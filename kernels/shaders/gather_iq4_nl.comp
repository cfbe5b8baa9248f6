// Embedding rows of IQ4_NL.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ROW_MAJOR_TOO
#include "kernels/shaders/decode_iq4_nl.glsl"
#include "kernels/shaders/gather.glsl"
