#include "core/cancel.h"

#include <atomic>
#include <csignal>

namespace gguf_shard {
namespace {

std::atomic<bool> cancel_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the flag is set in a signal handler");

void HandleSignal(int signal_number) {
  if (cancel_requested.exchange(true)) {
    // The second signal: the user does not want to wait for the clean-up.
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);
  }
}

}  // namespace

void InstallCancelHandlers() {
  struct sigaction action {};
  action.sa_handler = HandleSignal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void RequestCancel() { cancel_requested = true; }
void ClearCancel() { cancel_requested = false; }
bool CancelRequested() { return cancel_requested.load(std::memory_order_relaxed); }

Result<void> CheckCancelled() {
  if (CancelRequested()) return Fail(ErrorCode::kCancelled, "interrupted");
  return {};
}

}  // namespace gguf_shard
