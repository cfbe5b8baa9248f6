// What the checks of one validation share: the options, the user's core (only ever read), a scratch
// folder that is removed at the end, the sample model, and reference logits. Each is made when it
// is first asked for. For one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/core_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "forge/verify.h"
#include "runtime/engine.h"
#include "validate/sample_model.h"

namespace gguf_shard {

struct ValidationOptions {
  std::filesystem::path map_path;  // the map, or the folder that holds core.sgmap
  std::vector<std::filesystem::path> patches;
  DeviceRequest device;     // of the comparison with the CPU; kCpu: none is looked for
  std::string device_text;  // as the user said it
  bool full = false;
  uint64_t seed = 1;
  uint64_t faults = 0;        // of damaged pages in all; 0: by `full`
  std::string only;           // run the checks with this name, or this prefix and a dot
  uint32_t soak_seconds = 0;  // of run.soak; 0: by `full`
  uint64_t large_core_bytes = uint64_t{512} << 20;  // a larger core is read less often
  std::filesystem::path scratch_parent;  // empty: the system's folder for temporary files
  std::string program_version;
};

// The ways of reading pages that work here: faults have to be met by each of them.
struct PageReaders {
  std::vector<IoMethod> methods;
  std::string text;  // "by threads and by io_uring", or why there is no io_uring
  IoMethod Choose(uint64_t number) const { return methods[number % methods.size()]; }
};

// The model on the Vulkan device that was asked for.
struct DeviceReference {
  uint32_t index = 0;     // Vulkan's number of the device
  EngineOptions options;  // as ProbeOptions
  // The ways by which pages get into its memory that work here: each has to meet faults.
  std::vector<TransferMethod> methods;
  std::string text;           // "by direct, imported, upload"
  std::vector<float> logits;  // of the prompt, with all the memory there is
  TransferMethod Choose(uint64_t number) const { return methods[number % methods.size()]; }
};

class ValidationContext {
 public:
  ValidationContext(const ValidationOptions& options, Progress& progress);
  ~ValidationContext();
  ValidationContext(const ValidationContext&) = delete;
  ValidationContext& operator=(const ValidationContext&) = delete;

  const ValidationOptions& options() const { return options_; }
  Progress& progress() { return progress_; }
  // For what reads or writes the user's model once: silent when that takes no time.
  Progress& byte_progress();
  // The same numbers for the same seed and name, whatever ran before.
  std::mt19937_64 RandomOf(std::string_view check_name) const;
  // Injected faults that a check gets of all.
  uint64_t FaultsOf(uint64_t share) const;

  // The user's core, read past the page cache.
  Result<const CoreFile*> core();
  // The verification of the user's core, all of it, in one pass.
  Result<const VerifyReport*> verification();
  // Known to be damaged: nothing can be asked of a model then.
  bool core_is_damaged() const { return verification_ && !verification_->intact(); }

  // An empty folder of its own for each name.
  Result<std::filesystem::path> ScratchFolder(std::string_view name);
  Result<const SampleModel*> sample();

  // A short prompt, and the logits after each of its tokens with all the memory there is.
  Result<std::vector<TokenId>> PromptTokens();
  Result<const std::vector<float>*> reference_logits();
  // kUnsupported when no device was asked for, or there is none.
  Result<const DeviceReference*> device_reference();

  // Tried with the user's core when they are first asked for.
  const PageReaders& readers();

  // A core too large to be read again for every little thing.
  bool core_is_large();

 private:
  const ValidationOptions& options_;
  Progress& progress_;
  NoProgress no_progress_;
  std::filesystem::path scratch_;
  std::unique_ptr<CoreFile> core_;
  std::optional<VerifyReport> verification_;
  std::unique_ptr<SampleModel> sample_;
  std::optional<std::vector<float>> reference_logits_;
  std::optional<DeviceReference> device_reference_;
  std::optional<PageReaders> readers_;
};

// Options of the engines that checks open: a short context, reads by threads.
EngineOptions ProbeOptions();
// The smallest pool that an engine with these options accepts.
Result<uint64_t> MinimumPoolOf(const Model& model, const EngineOptions& options);
// The logits after every token, [token][vocab], of a fresh engine over the map at this path.
Result<std::vector<float>> ProbeLogits(const std::filesystem::path& map_path,
                                       const EngineOptions& options,
                                       const std::vector<TokenId>& tokens);

}  // namespace gguf_shard
