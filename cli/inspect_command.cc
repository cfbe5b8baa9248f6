// gguf-shard inspect: shows a GGUF, a core or a map.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/inspect_gguf.h"
#include "cli/inspect_map.h"
#include "cli/json_output.h"
#include "cli/model_path.h"
#include "core/core_file.h"
#include "core/gguf_model.h"
#include "forge/plan.h"
#include "forge/source_gaps.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

struct InspectArguments {
  std::string path;
  bool json = false;
};

ExitCode Print(bool json, const std::string& text, const nlohmann::ordered_json& document) {
  if (json) {
    PrintJson(document);
  } else {
    fmt::print("{}", text);
  }
  return ExitCode::kSuccess;
}

Result<ExitCode> InspectMap(const fs::path& path, bool json) {
  GS_ASSIGN(const CoreFile core, CoreFile::Open(path));
  return Print(json, MapText(core.map()), MapJson(core.map()));
}

// A core is shown by its map when that lies beside it; alone, it is a GGUF of pages.
Result<ExitCode> InspectGguf(const fs::path& path, bool json) {
  GS_ASSIGN(const GgufModel model, OpenGgufModel(path));
  if (IsCore(model.metadata())) {
    const fs::path map_path = fs::path(path).replace_extension(".sgmap");
    std::error_code ignored;
    if (fs::exists(map_path, ignored)) return InspectMap(map_path, json);
    return Print(json, GgufText(model, std::nullopt), GgufJson(model, std::nullopt));
  }
  GS_ASSIGN(const std::vector<SourceGap> gaps, FindSourceGaps(model));
  GS_ASSIGN(CoreMap plan, PlanCore(model, gaps, PlanOptions{}));
  return Print(json, GgufText(model, plan), GgufJson(model, plan));
}

Result<ExitCode> RunInspect(const InspectArguments& arguments) {
  const fs::path path = arguments.path;
  GS_TRY(RecoverModel(path));
  GS_ASSIGN(const bool is_map, IsMapPath(path));
  return is_map ? InspectMap(path, arguments.json) : InspectGguf(path, arguments.json);
}

}  // namespace

void AddInspectCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* command = app.add_subcommand("inspect", "Show a GGUF, a core or a map");
  command->add_option("path", arguments->path, "MODEL.gguf, core.gguf, CORE.sgmap or its directory")
      ->required()
      ->type_name("PATH");
  command->add_flag("--json", arguments->json, "Print everything as JSON");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunInspect(*arguments); }; });
}

}  // namespace gguf_shard
