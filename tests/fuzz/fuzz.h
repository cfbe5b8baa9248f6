// What every fuzz target has: the entry point that libFuzzer and the replay driver call, and a
// check whose failure is a finding. Targets keep no state between inputs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/check.h"

// Must accept any bytes: an input that is refused is fine, one that is accepted must satisfy what
// the reader promises. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes);

// A promise of the reader under test; ends the process when broken.
#define GS_FUZZ_EXPECT(condition) GS_CHECK(condition)
