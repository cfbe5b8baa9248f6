// Progress of a long job, reported by the modules and drawn by the one progress bar
// (cli/progress.h). Implementations must accept Advance from many threads at once.
#pragma once

#include <cstdint>
#include <string_view>

namespace gguf_shard {

class Progress {
 public:
  virtual ~Progress() = default;
  // A phase of `total_bytes` begins; ends the phase before it.
  virtual void Start(std::string_view label, uint64_t total_bytes) = 0;
  // A phase of so many steps that are not bytes: each is an Advance(1).
  virtual void StartSteps(std::string_view label, uint64_t total_steps) {
    Start(label, total_steps);
  }
  virtual void Advance(uint64_t done) = 0;
  virtual void Finish() = 0;
};

// Draws nothing.
class NoProgress final : public Progress {
 public:
  void Start(std::string_view, uint64_t) override {}
  void Advance(uint64_t) override {}
  void Finish() override {}
};

}  // namespace gguf_shard
