// gguf-shard plan: what speed to expect of a model here, for several memory budgets.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/engine_arguments.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "core/bytes.h"
#include "runtime/speed_estimate.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

struct PlanArguments {
  EngineArguments engine;
  bool json = false;
};

struct PlannedBudget {
  uint64_t budget_bytes = 0;
  SpeedEstimate estimate;
};

Result<MemoryPlan> PlanMemoryFor(const Model& model, EngineOptions options,
                                 const ProcessMemory& process, uint64_t budget_bytes) {
  AtlasOptions atlas;
  atlas.concurrent_pins = WorkerCountOf(options);
  const uint64_t minimum_pool_bytes =
      Atlas::MinimumPoolBytes(model.map(), ScheduleOf(model.weights()), atlas);
  options.memory_budget_bytes = budget_bytes;
  return PlanMemory(model, options, process, 0, minimum_pool_bytes);
}

// The budget that holds all of the model: what is planned beside the pool does not shrink when
// there is more memory than anyone asks for.
Result<uint64_t> BudgetForAll(const Model& model, const EngineOptions& options,
                              const ProcessMemory& process) {
  const uint64_t ample_bytes = 16 * model.weight_bytes() + (uint64_t{64} << 30);
  GS_ASSIGN(const MemoryPlan plan, PlanMemoryFor(model, options, process, ample_bytes));
  const uint64_t bytes =
      plan.process_bytes + plan.cache_bytes + plan.workspace_bytes + model.weight_bytes();
  return AlignUp(bytes, kMebibyte);
}

// The budget asked for, or a table: shares of the model, and what holds all of it.
Result<std::vector<uint64_t>> Budgets(const PlanArguments& arguments, const Model& model,
                                      const EngineOptions& options, const ProcessMemory& process) {
  if (arguments.engine.memory_budget_bytes > 0) {
    return std::vector<uint64_t>{arguments.engine.memory_budget_bytes};
  }
  std::vector<uint64_t> budgets;
  for (const uint64_t percent : {10, 25, 50, 75, 100}) {
    budgets.push_back(model.weight_bytes() / 100 * percent / kMebibyte * kMebibyte);
  }
  GS_ASSIGN(const uint64_t all_bytes, BudgetForAll(model, options, process));
  budgets.push_back(all_bytes);
  return budgets;
}

Result<PlannedBudget> PlanBudget(const Model& model, EngineOptions options, uint64_t budget_bytes,
                                 const ProcessMemory& process, const MachineSpeed& machine) {
  GS_ASSIGN(const MemoryPlan plan, PlanMemoryFor(model, options, process, budget_bytes));
  options.memory_budget_bytes = budget_bytes;
  PlannedBudget planned;
  planned.budget_bytes = budget_bytes;
  GS_ASSIGN(planned.estimate, EstimateSpeed(model, options, plan.pool_bytes, machine));
  return planned;
}

std::string Text(const Model& model, const MachineSpeed& machine,
                 const std::vector<PlannedBudget>& budgets) {
  std::string text = fmt::format(
      "model    {} of weight pages; a token uses {}\n"
      "disk     {} by direct reads of the core\n"
      "memory   {} of plain reads\n",
      FormatBytes(model.weight_bytes()), FormatBytes(budgets.front().estimate.token_bytes),
      FormatRate(machine.disk_bytes_per_second), FormatRate(machine.memory_bytes_per_second));
  text += "kernels ";
  for (const auto& [type, rate] : machine.kernel_bytes_per_second) {
    text += fmt::format(" {} {}", TensorTypeName(type), FormatRate(rate));
  }
  TextTable table(
      {Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kLeft});
  table.AddRow({"budget", "pool", "resident", "read per token", "tokens/s", "limit"});
  for (const PlannedBudget& planned : budgets) {
    const SpeedEstimate& estimate = planned.estimate;
    table.AddRow({FormatBytes(planned.budget_bytes), FormatBytes(estimate.pool_bytes),
                  fmt::format("{:.0f} %", 100 * estimate.resident_share()),
                  FormatBytes(estimate.streamed_bytes),
                  fmt::format("{:.2f}", 1 / estimate.seconds_per_token()),
                  std::string(SpeedLimitName(estimate.limit))});
  }
  return text + "\n\n" + table.ToString();
}

nlohmann::ordered_json PlanJson(const Model& model, const MachineSpeed& machine,
                                const std::vector<PlannedBudget>& budgets) {
  nlohmann::ordered_json kernels = nlohmann::ordered_json::object();
  for (const auto& [type, rate] : machine.kernel_bytes_per_second) {
    kernels[std::string(TensorTypeName(type))] = rate;
  }
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const PlannedBudget& planned : budgets) {
    const SpeedEstimate& estimate = planned.estimate;
    rows.push_back({{"memory_budget_bytes", planned.budget_bytes},
                    {"pool_bytes", estimate.pool_bytes},
                    {"resident_share", estimate.resident_share()},
                    {"bytes_read_per_token", estimate.streamed_bytes},
                    {"disk_seconds_per_token", estimate.disk_seconds},
                    {"compute_seconds_per_token", estimate.compute_seconds},
                    {"tokens_per_second", 1 / estimate.seconds_per_token()},
                    {"limit", SpeedLimitName(estimate.limit)}});
  }
  return {{"weight_bytes", model.weight_bytes()},
          {"token_bytes", budgets.front().estimate.token_bytes},
          {"disk_bytes_per_second", machine.disk_bytes_per_second},
          {"memory_bytes_per_second", machine.memory_bytes_per_second},
          {"kernel_bytes_per_second", std::move(kernels)},
          {"budgets", std::move(rows)}};
}

Result<ExitCode> RunPlan(const PlanArguments& arguments) {
  GS_ASSIGN(const EngineOptions options, MakeEngineOptions(arguments.engine));
  GS_ASSIGN(const auto model, LoadModel(arguments.engine));
  // What the process holds before it measures is what a run starts from.
  GS_ASSIGN(const ProcessMemory process, ReadProcessMemory());
  GS_ASSIGN(const MachineSpeed machine, MeasureMachine(*model, options.thread_count));
  const bool is_table = arguments.engine.memory_budget_bytes == 0;
  std::vector<PlannedBudget> budgets;
  GS_ASSIGN(const auto candidates, Budgets(arguments, *model, options, process));
  for (const uint64_t budget_bytes : candidates) {
    auto planned = PlanBudget(*model, options, budget_bytes, process, machine);
    if (planned) {
      budgets.push_back(*planned);
    } else if (!is_table || planned.error().code() != ErrorCode::kBudgetTooSmall) {
      return Fail(std::move(planned).error());
    }
  }
  if (arguments.json) {
    PrintJson(PlanJson(*model, machine, budgets));
  } else {
    fmt::print("{}", Text(*model, machine, budgets));
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddPlanCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<PlanArguments>();
  CLI::App* command = app.add_subcommand(
      "plan", "Measure this machine and say what speed to expect for which memory budget");
  AddEngineArguments(*command, arguments->engine, "f16");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments, &line] { line.run = [arguments] { return RunPlan(*arguments); }; });
}

}  // namespace gguf_shard
