// Runs of the user's model under faults, by the processor or by a Vulkan device, and what their
// logits say: the same bits, an error that names the fault, or neither.
// Thread-safety: for one thread; Run may be called from many, each on a copy of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "validate/check.h"
#include "validate/context.h"
#include "validate/fault_file_operations.h"

namespace gguf_shard {

// Who computes. On the device, all layers are the device's.
enum class RunPlace : uint8_t { kProcessor, kDevice };

// How many failed reads of a page change nothing: the file layer tries three times, and what was
// read with others is then read by itself. What lies near the header is read with that, too, where
// there is no second round.
uint64_t SurvivedFailures(const CoreFile& core, uint64_t page);

// A page of a tensor: those are read by the atlas.
uint64_t TensorPage(const CoreFile& core, std::mt19937_64& random);

// What came instead of the expected logits.
std::string SayLogits(const Result<std::vector<float>>& logits);

// Everything that the trials of one check share.
struct RunTrials {
  ValidationContext& context;
  RunPlace place;
  const CoreFile& core;
  std::vector<TokenId> tokens;
  const std::vector<float>& expected;
  EngineOptions options;

  // kUnsupported on the device when none was asked for or none is there.
  static Result<RunTrials> Create(ValidationContext& context, RunPlace place);

  // The next way by which pages get to where they are used.
  void ChoosePath(uint64_t number);
  // All of them: "by threads and by io_uring".
  std::string PathText() const;
  uint64_t PathCount() const;

  Result<std::vector<float>> Run() const;
  Result<std::vector<float>> Run(FaultFileOperations& operations) const;
  // The smallest pool that an engine with these options accepts.
  Result<uint64_t> SmallestPool() const;
  // Fewer where every run reads gigabytes.
  uint64_t Count(uint64_t share) const;

  // A fault that the run must name with this code (and this page, when it names one), or not have
  // met.
  void CountNamed(uint64_t page, ErrorCode code, const Result<std::vector<float>>& logits,
                  std::string_view fault, Outcome& outcome) const;
  // Must be the same logits.
  void CountClean(const Result<std::vector<float>>& logits, std::string_view fault,
                  Outcome& outcome) const;
};

}  // namespace gguf_shard
