// Ctrl-C as a value: a flag that long loops poll, so that destructors clean up. Thread-safe.
#pragma once

#include "core/error.h"

namespace gguf_shard {

// Installs handlers for SIGINT and SIGTERM that set the flag; a second signal ends the process.
void InstallCancelHandlers();
void RequestCancel();
void ClearCancel();  // for tests
bool CancelRequested();
// kCancelled when the flag is set.
Result<void> CheckCancelled();

}  // namespace gguf_shard
