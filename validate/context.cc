#include "validate/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "core/edit_file.h"
#include "runtime/weights.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPromptTokens = 8;
constexpr uint64_t kQuickFaults = 2100;
constexpr uint64_t kFullFaults = 210'000;

// FNV-1a: the same on every machine.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

Result<fs::path> MakeScratch(const fs::path& parent) {
  std::error_code error;
  const fs::path folder = parent.empty() ? fs::temp_directory_path(error) : parent;
  std::string name = (folder / "gguf-shard-validate-XXXXXX").string();
  if (!error && mkdtemp(name.data()) != nullptr) return fs::path(name);
  return Fail(Error(ErrorCode::kIo, "cannot make a scratch folder").File(name));
}

Result<uint32_t> FindDevice(const DeviceRequest& request) {
  if (request.choice == DeviceChoice::kCpu) {
    return Fail(ErrorCode::kUnsupported, "--device names no Vulkan device");
  }
  const auto index = ChooseDevice(request);
  if (!index) {
    return Fail(ErrorCode::kUnsupported,
                "there is no Vulkan device here: " + index.error().ToString());
  }
  if (*index) return **index;
  return Fail(ErrorCode::kUnsupported,
              "there is no graphics processor here (--device vulkan insists)");
}

}  // namespace

ValidationContext::ValidationContext(const ValidationOptions& options, Progress& progress)
    : options_(options), progress_(progress) {}

ValidationContext::~ValidationContext() {
  std::error_code ignored;
  if (!scratch_.empty()) fs::remove_all(scratch_, ignored);
}

std::mt19937_64 ValidationContext::RandomOf(std::string_view check_name) const {
  return std::mt19937_64(options_.seed * 0x9e3779b97f4a7c15u + HashOf(check_name));
}

uint64_t ValidationContext::FaultsOf(uint64_t share) const {
  const uint64_t by_mode = options_.full ? kFullFaults : kQuickFaults;
  const uint64_t all = options_.faults > 0 ? options_.faults : by_mode;
  return std::max<uint64_t>(1, all / share);
}

Result<const CoreFile*> ValidationContext::core() {
  if (!core_) {
    GS_ASSIGN(CoreFile opened, CoreFile::Open(options_.map_path, Caching::kDirect));
    core_ = std::make_unique<CoreFile>(std::move(opened));
  }
  return core_.get();
}

Result<const VerifyReport*> ValidationContext::verification() {
  if (!verification_) {
    GS_ASSIGN(verification_, VerifyCore(options_.map_path, VerifyDepth::kFull, byte_progress()));
  }
  return &*verification_;
}

Result<fs::path> ValidationContext::ScratchFolder(std::string_view name) {
  if (scratch_.empty()) {
    GS_ASSIGN(scratch_, MakeScratch(options_.scratch_parent));
  }
  const fs::path folder = scratch_ / name;
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  GS_TRY(MakeDirectories(folder));
  return folder;
}

Result<const SampleModel*> ValidationContext::sample() {
  if (!sample_) {
    GS_ASSIGN(const CoreFile* user_core, core());
    GS_ASSIGN(const fs::path folder, ScratchFolder("sample"));
    GS_ASSIGN(SampleModel made, MakeSampleModel(*user_core, folder, options_.seed));
    sample_ = std::make_unique<SampleModel>(std::move(made));
  }
  return sample_.get();
}

Result<std::vector<TokenId>> ValidationContext::PromptTokens() {
  GS_ASSIGN(const auto model, Model::Load(options_.map_path));
  GS_ASSIGN(auto tokens,
            model->tokenizer().Encode("Once upon a time there was a large", EncodeOptions()));
  if (tokens.empty()) tokens.push_back(0);
  tokens.resize(std::min(tokens.size(), kPromptTokens));
  return tokens;
}

Result<const std::vector<float>*> ValidationContext::reference_logits() {
  if (!reference_logits_) {
    GS_ASSIGN(const auto tokens, PromptTokens());
    GS_ASSIGN(reference_logits_, ProbeLogits(options_.map_path, ProbeOptions(), tokens));
  }
  return &*reference_logits_;
}

Result<const DeviceReference*> ValidationContext::device_reference() {
  if (device_reference_) return &*device_reference_;
  GS_ASSIGN(const uint32_t index, FindDevice(options_.device));
  GS_ASSIGN(const auto tokens, PromptTokens());
  DeviceReference device;
  device.index = index;
  device.options = ProbeOptions();
  device.options.device = options_.device;
  EngineOptions options = device.options;
  for (const auto method :
       {TransferMethod::kDirect, TransferMethod::kImported, TransferMethod::kUpload}) {
    options.transfer = method;
    if (!ProbeLogits(options_.map_path, options, {TokenId{0}})) continue;
    device.methods.push_back(method);
    device.text +=
        fmt::format("{}{}", device.text.empty() ? "by " : ", ", TransferMethodName(method));
  }
  GS_ASSIGN(device.logits, ProbeLogits(options_.map_path, device.options, tokens));
  device_reference_ = std::move(device);
  return &*device_reference_;
}

const PageReaders& ValidationContext::readers() {
  if (readers_) return *readers_;
  readers_ = PageReaders{{IoMethod::kThreads}, "by threads and by io_uring"};
  EngineOptions options = ProbeOptions();
  options.io_method = IoMethod::kUring;
  const auto logits = ProbeLogits(options_.map_path, options, {TokenId{0}});
  if (logits) {
    readers_->methods.push_back(IoMethod::kUring);
  } else {
    readers_->text = fmt::format("by threads only ({})", logits.error().sentence());
  }
  return *readers_;
}

Progress& ValidationContext::byte_progress() { return core_is_large() ? progress_ : no_progress_; }

bool ValidationContext::core_is_large() {
  const auto opened = core();
  return opened && (*opened)->file().size_bytes() > options_.large_core_bytes;
}

EngineOptions ProbeOptions() {
  EngineOptions options;
  options.context_length = 64;
  options.batch_tokens = 16;
  options.all_logits = true;
  options.kv_type = KvType::kF32;
  options.io_method = IoMethod::kThreads;
  return options;
}

Result<uint64_t> MinimumPoolOf(const Model& model, const EngineOptions& options) {
  AtlasOptions atlas;
  atlas.io_threads = kIoThreads;
  atlas.concurrent_pins = WorkerCountOf(options);
  atlas.prefetch_distance = options.prefetch_distance.value_or(model.map().atlas.prefetch_distance);
  GS_ASSIGN(atlas.cache_policy, CachePolicyFromName(model.map().atlas.cache_policy));
  return Atlas::MinimumPoolBytes(model.map(), ScheduleOf(model.weights()), atlas);
}

Result<std::vector<float>> ProbeLogits(const fs::path& map_path, const EngineOptions& options,
                                       const std::vector<TokenId>& tokens) {
  GS_ASSIGN(auto model, Model::Load(map_path));
  GS_ASSIGN(const auto engine, Engine::Open(std::move(model), options));
  std::vector<float> all;
  GS_TRY(engine->EvaluateAll(tokens, [&all](uint32_t, std::span<const float> logits) {
    all.insert(all.end(), logits.begin(), logits.end());
    return Result<void>();
  }));
  return all;
}

}  // namespace gguf_shard
