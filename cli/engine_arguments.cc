#include "cli/engine_arguments.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "cli/model_path.h"
#include "cli/patched_core.h"
#include "cli/size_argument.h"
#include "core/file.h"
#include "gpu/pipeline_cache.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

// The map for a path: itself when it is one, the one beside a core.
Result<fs::path> FindMap(const fs::path& path) {
  GS_TRY(RecoverModel(path));
  GS_ASSIGN(const bool is_map, IsMapPath(path));
  if (is_map) return path;
  GS_ASSIGN(const File file, File::OpenRead(path));
  GS_ASSIGN(const GgufHeader header, ReadGgufHeader(file));
  if (IsCore(header)) return fs::path(path).replace_extension(".sgmap");
  return Fail(Error(ErrorCode::kInvalidArgument,
                    fmt::format("a GGUF runs from its pages: first run `gguf-shard shard {}`, then "
                                "give this command the map that it writes",
                                path.string()))
                  .File(path.string()));
}

}  // namespace

void AddEngineArguments(CLI::App& command, EngineArguments& arguments,
                        const std::string& default_kv_type) {
  arguments.kv_type = default_kv_type;
  command.add_option("path", arguments.path, "CORE.sgmap, its directory, or the core beside it")
      ->required()
      ->type_name("PATH");
  command
      .add_option("--patch", arguments.patches,
                  "Run the variant that this patch makes of the core; repeatable, first to last")
      ->type_name("PATCH.sgdelta");
  AddSizeOption(
      command, "--memory-budget", arguments.memory_budget_bytes,
      "All memory of the process, for example 512M (default: what the machine can spare)");
  AddSizeOption(command, "--pool", arguments.pool_bytes,
                "Memory for weight pages alone (default: what the budget leaves)");
  command
      .add_option("--device", arguments.device,
                  "Where the model runs: auto (a graphics processor if there is one), cpu, vulkan, "
                  "vulkan:N")
      ->capture_default_str()
      ->type_name("DEVICE");
  AddSizeOption(command, "--vram-budget", arguments.vram_budget_bytes,
                "All memory taken on the Vulkan device (default: what is free there)");
  command
      .add_option("--gpu-layers", arguments.gpu_layers,
                  "How many of the last layers the Vulkan device gets (default: all)")
      ->check(CLI::Range(uint64_t{0}, kMaxLayers))
      ->type_name("N");
  command.add_option("--threads", arguments.threads, "Threads that compute (default: one per CPU)")
      ->check(CLI::Range(1u, kMaxThreads))
      ->type_name("N");
  command
      .add_option("--ctx", arguments.context_length,
                  "Tokens of context (default: the model's, as far as the budget allows)")
      ->check(CLI::Range(uint64_t{1}, kMaxContext))
      ->type_name("N");
  command
      .add_option("--batch", arguments.batch_tokens,
                  "Prompt tokens evaluated together (default: up to 512)")
      ->check(CLI::Range(1u, kMaxBatch))
      ->type_name("N");
  command
      .add_option("--kv-type", arguments.kv_type, "Type of cached keys and values: f32, f16, q8_0")
      ->capture_default_str()
      ->type_name("TYPE");
  command
      .add_option("--prefetch-distance", arguments.prefetch_distance,
                  "Shards read ahead at most; 0 reads nothing ahead (default: the map's)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->type_name("N");
  command
      .add_option("--cache-policy", arguments.cache_policy,
                  "Which experts stay in memory: lru, frequency (default: the map's)")
      ->check(CLI::IsMember({"lru", "frequency"}))
      ->type_name("POLICY");
  command
      .add_option("--io", arguments.io_method,
                  "How pages are read: auto (io_uring where it is allowed), uring, threads")
      ->check(CLI::IsMember({"auto", "uring", "threads"}))
      ->type_name("METHOD");
}

Result<std::unique_ptr<const Model>> LoadModel(const EngineArguments& arguments) {
  KeepHeapSmall();
  GS_ASSIGN(const fs::path map_path, FindMap(arguments.path));
  if (arguments.patches.empty()) return Model::Load(map_path);
  GS_ASSIGN(CoreFile variant,
            OpenPatchedCore(map_path, {arguments.patches.begin(), arguments.patches.end()}));
  return Model::Load(std::move(variant));
}

Result<EngineOptions> MakeEngineOptions(const EngineArguments& arguments) {
  EngineOptions options;
  if (arguments.memory_budget_bytes > 0) {
    options.memory_budget_bytes = arguments.memory_budget_bytes;
  }
  options.other_bytes = PatchMemoryBytes(arguments.patches.size());
  if (arguments.pool_bytes > 0) options.pool_bytes = arguments.pool_bytes;
  options.thread_count = arguments.threads;
  options.context_length = arguments.context_length;
  options.batch_tokens = arguments.batch_tokens;
  GS_ASSIGN(options.kv_type, KvTypeFromName(arguments.kv_type));
  GS_ASSIGN(options.device, ParseDevice(arguments.device));
  if (arguments.vram_budget_bytes > 0) {
    options.device.vram_budget_bytes = arguments.vram_budget_bytes;
  }
  if (arguments.gpu_layers >= 0) {
    options.device.gpu_layers = static_cast<uint32_t>(arguments.gpu_layers);
  }
  if (const char* math = std::getenv("GGUF_SHARD_DEVICE_MATH")) {
    GS_ASSIGN(options.device.math, ParseDeviceMath(math));
  }
  options.device.pipeline_cache_path = gpu::DefaultPipelineCachePath();
  if (arguments.prefetch_distance >= 0) {
    options.prefetch_distance = static_cast<uint32_t>(arguments.prefetch_distance);
  }
  if (!arguments.cache_policy.empty()) {
    GS_ASSIGN(options.cache_policy, CachePolicyFromName(arguments.cache_policy));
  }
  if (arguments.io_method == "uring") options.io_method = IoMethod::kUring;
  if (arguments.io_method == "threads") options.io_method = IoMethod::kThreads;
  return options;
}

Result<std::vector<TokenId>> ParseTokenIds(const std::string& text) {
  std::vector<TokenId> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    TokenId id = 0;
    const auto parsed = std::from_chars(at, end, id);
    if (parsed.ec != std::errc()) break;
    ids.push_back(id);
    if (parsed.ptr == end) return ids;
    if (*parsed.ptr != ',') break;
    at = parsed.ptr + 1;
  }
  return Fail(Error(ErrorCode::kInvalidArgument, "--tokens takes ids separated by commas")
                  .Expected("1,2,3")
                  .Found(text));
}

}  // namespace gguf_shard
