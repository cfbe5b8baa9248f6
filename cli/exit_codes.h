// Exit codes of the program: documented, stable, one per kind of outcome that a script would treat
// differently.
//
//    0  success                              7  malformed, truncated or oversized input
//    1  internal failure                     8  well-formed, but of a kind not handled
//    2  wrong command line or argument       9  two good files that do not belong together
//    3  input not found                     10  not enough free disk space
//    4  output exists (--force replaces)    11  out of memory
//    5  the system failed a read or write   12  memory budget too small
//    6  damaged data (checksum mismatch)    13  graphics device failed
//                                           14  a promise was broken (validate)
//                                          130  interrupted (Ctrl-C)
//
// Pure functions.
#pragma once

#include "core/error.h"

namespace gguf_shard {

enum class ExitCode : int {
  kSuccess = 0,
  kInternal = 1,
  kUsage = 2,
  kNotFound = 3,
  kAlreadyExists = 4,
  kIo = 5,
  kDamaged = 6,
  kMalformed = 7,
  kUnsupported = 8,
  kMismatch = 9,
  kNoSpace = 10,
  kOutOfMemory = 11,
  kBudgetTooSmall = 12,
  kDevice = 13,
  kPromiseBroken = 14,
  kInterrupted = 130,
};

ExitCode ExitCodeOf(ErrorCode code);

}  // namespace gguf_shard
