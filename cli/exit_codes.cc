#include "cli/exit_codes.h"

namespace gguf_shard {

ExitCode ExitCodeOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return ExitCode::kUsage;
    case ErrorCode::kNotFound:
      return ExitCode::kNotFound;
    case ErrorCode::kAlreadyExists:
      return ExitCode::kAlreadyExists;
    case ErrorCode::kIo:
      return ExitCode::kIo;
    case ErrorCode::kChecksumMismatch:
      return ExitCode::kDamaged;
    case ErrorCode::kTruncated:
    case ErrorCode::kMalformed:
    case ErrorCode::kTooLarge:
      return ExitCode::kMalformed;
    case ErrorCode::kUnsupported:
      return ExitCode::kUnsupported;
    case ErrorCode::kMismatch:
      return ExitCode::kMismatch;
    case ErrorCode::kNoSpace:
      return ExitCode::kNoSpace;
    case ErrorCode::kOutOfMemory:
      return ExitCode::kOutOfMemory;
    case ErrorCode::kBudgetTooSmall:
      return ExitCode::kBudgetTooSmall;
    case ErrorCode::kCancelled:
      return ExitCode::kInterrupted;
    case ErrorCode::kDevice:
      return ExitCode::kDevice;
  }
  return ExitCode::kInternal;
}

}  // namespace gguf_shard
