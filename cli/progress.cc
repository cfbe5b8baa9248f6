#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>

#include "cli/format.h"

namespace gguf_shard {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t Percent(const ProgressState& state) {
  if (state.total_bytes == 0) return 100;
  const double share =
      static_cast<double>(state.done_bytes) / static_cast<double>(state.total_bytes);
  return static_cast<uint64_t>(std::clamp(share, 0.0, 1.0) * 100);
}

double BytesPerSecond(const ProgressState& state) {
  return static_cast<double>(state.done_bytes) / std::max(state.elapsed_seconds, 1e-3);
}

// "1.20 GB/s", or nothing.
std::string RateOf(const ProgressState& state) {
  return state.in_steps ? "" : FormatRate(BytesPerSecond(state));
}

std::string TotalOf(const ProgressState& state) {
  return state.in_steps ? fmt::format("{}", state.total_bytes) : FormatBytes(state.total_bytes);
}

std::string AfterComma(const std::string& text) { return text.empty() ? "" : ", " + text; }

std::string Remaining(const ProgressState& state) {
  if (state.done_bytes == 0 || state.done_bytes >= state.total_bytes) return "";
  const auto left_bytes = static_cast<double>(state.total_bytes - state.done_bytes);
  return FormatDuration(left_bytes / BytesPerSecond(state)) + " left";
}

// Common to both displays: counts, and draws when it is time, from whichever thread gets there.
class TimedProgress : public Progress {
 public:
  void Start(std::string_view label, uint64_t total_bytes) override {
    Begin(label, total_bytes, /*in_steps=*/false);
  }
  void StartSteps(std::string_view label, uint64_t total_steps) override {
    Begin(label, total_steps, /*in_steps=*/true);
  }

  void Advance(uint64_t bytes) override {
    done_bytes_ += bytes;
    const auto now_ms = ElapsedMs();
    auto due_ms = next_draw_ms_.load();
    if (now_ms < due_ms) return;
    // One thread wins the right to draw; the others go on working.
    if (!next_draw_ms_.compare_exchange_strong(due_ms, now_ms + interval_ms_)) return;
    const std::lock_guard lock(mutex_);
    if (active_) Draw(State());
  }

  void Finish() override {
    const std::lock_guard lock(mutex_);
    if (!active_) return;
    active_ = false;
    DrawLast(State());
  }

 protected:
  explicit TimedProgress(int64_t interval_ms) : interval_ms_(interval_ms) {}
  virtual void Draw(const ProgressState& state) = 0;
  virtual void DrawLast(const ProgressState& state) = 0;

 private:
  void Begin(std::string_view label, uint64_t total_bytes, bool in_steps) {
    Finish();
    const std::lock_guard lock(mutex_);
    label_ = label;
    in_steps_ = in_steps;
    total_bytes_ = total_bytes;
    done_bytes_ = 0;
    start_ = Clock::now();
    next_draw_ms_ = interval_ms_;
    active_ = true;
  }

  int64_t ElapsedMs() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_).count();
  }
  ProgressState State() const {
    return {label_, done_bytes_.load(), total_bytes_, static_cast<double>(ElapsedMs()) / 1000,
            in_steps_};
  }

  const int64_t interval_ms_;
  std::mutex mutex_;
  std::string label_;
  uint64_t total_bytes_ = 0;
  bool in_steps_ = false;
  Clock::time_point start_;
  bool active_ = false;
  std::atomic<uint64_t> done_bytes_ = 0;
  std::atomic<int64_t> next_draw_ms_ = 0;
};

class TerminalProgress final : public TimedProgress {
 public:
  TerminalProgress() : TimedProgress(100) {}
  ~TerminalProgress() override { Erase(); }

 private:
  void Draw(const ProgressState& state) override {
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    // One column is left free: a full line would wrap on some terminals.
    fmt::print(stderr, "\r\x1b[K{}", RenderBar(state, known ? size.ws_col - 1u : 79u));
    std::fflush(stderr);
    drawn_ = true;
  }
  void DrawLast(const ProgressState& state) override {
    Erase();
    // A phase that failed or was interrupted ends without a line of its own; what is counted in
    // steps has a report of its own.
    if (state.done_bytes >= state.total_bytes && !state.in_steps)
      fmt::print(stderr, "{}\n", RenderLine(state));
  }
  void Erase() {
    if (drawn_) fmt::print(stderr, "\r\x1b[K");
    drawn_ = false;
  }

  bool drawn_ = false;
};

class LineProgress final : public TimedProgress {
 public:
  LineProgress() : TimedProgress(2000) {}

 private:
  void Draw(const ProgressState& state) override {
    const uint64_t tenth = Percent(state) / 10;
    if (tenth == last_tenth_) return;
    last_tenth_ = tenth;
    fmt::print(stderr, "{}\n", RenderLine(state));
  }
  void DrawLast(const ProgressState& state) override {
    last_tenth_ = 0;
    if (state.done_bytes >= state.total_bytes && !state.in_steps)
      fmt::print(stderr, "{}\n", RenderLine(state));
  }

  uint64_t last_tenth_ = 0;
};

}  // namespace

std::string RenderBar(const ProgressState& state, uint32_t columns) {
  constexpr uint64_t kBarCells = 24;
  const uint64_t filled = Percent(state) * kBarCells / 100;
  const std::string rate = RateOf(state);
  auto line = fmt::format("{}  [{:#<{}}{:.<{}}] {:3}%  {}{}{}", state.label, "", filled, "",
                          kBarCells - filled, Percent(state), rate, rate.empty() ? "" : "  ",
                          Remaining(state));
  line.erase(line.find_last_not_of(' ') + 1);
  if (line.size() > columns) line.resize(columns);
  return line;
}

std::string RenderLine(const ProgressState& state) {
  const std::string rate = AfterComma(RateOf(state));
  if (state.done_bytes >= state.total_bytes) {
    return fmt::format("{}: {} in {}{}", state.label, TotalOf(state),
                       FormatDuration(state.elapsed_seconds), rate);
  }
  return fmt::format("{}: {}% of {}{}{}", state.label, Percent(state), TotalOf(state), rate,
                     AfterComma(Remaining(state)));
}

std::unique_ptr<Progress> MakeProgress(bool quiet) {
  if (quiet) return std::make_unique<NoProgress>();
  if (isatty(STDERR_FILENO) != 0) return std::make_unique<TerminalProgress>();
  return std::make_unique<LineProgress>();
}

}  // namespace gguf_shard
