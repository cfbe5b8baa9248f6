// Sums and maxima over a workgroup (a power of two of invocations), always in the same order. Every
// invocation gets the result and may call again at once.
shared float reduced[gl_WorkGroupSize.x];

float SumOfGroup(float value) {
  const uint lane = gl_LocalInvocationIndex;
  reduced[lane] = value;
  barrier();
  for (uint distance = gl_WorkGroupSize.x / 2; distance > 0; distance /= 2) {
    if (lane < distance) reduced[lane] += reduced[lane + distance];
    barrier();
  }
  const float sum = reduced[0];
  barrier();
  return sum;
}

float MaxOfGroup(float value) {
  const uint lane = gl_LocalInvocationIndex;
  reduced[lane] = value;
  barrier();
  for (uint distance = gl_WorkGroupSize.x / 2; distance > 0; distance /= 2) {
    if (lane < distance) reduced[lane] = max(reduced[lane], reduced[lane + distance]);
    barrier();
  }
  const float largest = reduced[0];
  barrier();
  return largest;
}
