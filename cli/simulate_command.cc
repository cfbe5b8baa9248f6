// gguf-shard simulate: what a recorded run would have read under other policies and pools.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "atlas/simulation.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "cli/simulation_chart.h"
#include "cli/size_argument.h"
#include "core/file.h"

namespace gguf_shard {
namespace {

struct SimulateArguments {
  std::string trace;
  std::vector<std::string> budgets;
  std::vector<std::string> policies;
  std::string html;
  std::string svg;
  bool json = false;
};

// Those asked for, ascending; without any, from a tenth of what the trace uses to all of it.
Result<std::vector<uint64_t>> Budgets(const SimulateArguments& arguments, const Trace& trace) {
  std::vector<uint64_t> budgets;
  for (const std::string& text : arguments.budgets) {
    GS_ASSIGN(const uint64_t bytes, ParseByteSize(text));
    budgets.push_back(bytes);
  }
  if (budgets.empty()) {
    const uint64_t used_bytes = UsedShardBytes(trace);
    for (const uint64_t percent : {10, 20, 30, 40, 50, 60, 75, 90, 100}) {
      budgets.push_back(used_bytes / 100 * percent + used_bytes % 100);
    }
  }
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());
  return budgets;
}

std::vector<SimulatedPolicy> Policies(const SimulateArguments& arguments) {
  std::vector<SimulatedPolicy> policies;
  for (const SimulatedPolicy policy : kSimulatedPolicies) {
    const auto& names = arguments.policies;
    const bool named =
        std::find(names.begin(), names.end(), SimulatedPolicyName(policy)) != names.end();
    if (names.empty() || named) policies.push_back(policy);
  }
  return policies;
}

// Of the gap between the default policy and the optimum, in hit ratio.
std::string ClosedGap(const std::vector<SimulatedPoint>& points, const SimulatedPoint& point) {
  const auto ratio_of = [&](SimulatedPolicy policy) -> double {
    for (const SimulatedPoint& other : points) {
      if (other.policy == policy && other.budget_bytes == point.budget_bytes) {
        return other.run.all.hit_ratio();
      }
    }
    return -1;
  };
  const double lru = ratio_of(SimulatedPolicy::kLru);
  const double optimum = ratio_of(SimulatedPolicy::kOptimum);
  if (lru < 0 || optimum < 0 || optimum - lru < 1e-6) return "";
  return fmt::format("{:.0f} %", 100 * (point.run.all.hit_ratio() - lru) / (optimum - lru));
}

std::string Table(const std::vector<SimulatedPoint>& points) {
  TextTable table(
      {Align::kRight, Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({"pool", "policy", "hits", "on demand", "read per token", "of lru's gap"});
  for (const SimulatedPoint& point : points) {
    const SimulatedRun& run = point.run;
    table.AddRow(
        {FormatBytes(point.budget_bytes), std::string(SimulatedPolicyName(point.policy)),
         fmt::format("{:.1f} %", 100 * run.all.hit_ratio()),
         run.on_demand.used_bytes == 0 ? "-"
                                       : fmt::format("{:.1f} %", 100 * run.on_demand.hit_ratio()),
         FormatBytes(static_cast<uint64_t>(run.bytes_per_pass())), ClosedGap(points, point)});
  }
  return table.ToString();
}

nlohmann::ordered_json SimulationJson(const std::vector<SimulatedPoint>& points,
                                      const Trace& trace) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const SimulatedPoint& point : points) {
    results.push_back({{"budget_bytes", point.budget_bytes},
                       {"policy", SimulatedPolicyName(point.policy)},
                       {"hit_ratio", point.run.all.hit_ratio()},
                       {"on_demand_hit_ratio", point.run.on_demand.hit_ratio()},
                       {"bytes_read_per_token", point.run.bytes_per_pass()},
                       {"tokens", point.run.pass_count}});
  }
  return {{"core_id", CoreIdToHex(trace.core_id)},
          {"passes", trace.passes.size()},
          {"shard_bytes", UsedShardBytes(trace)},
          {"results", std::move(results)}};
}

Result<void> WriteCharts(const SimulateArguments& arguments,
                         const std::vector<SimulatedPoint>& points, const std::string& table) {
  if (!arguments.svg.empty()) {
    GS_TRY(WriteWholeFile(arguments.svg, SimulationSvg(points), Overwrite::kAllow));
  }
  if (arguments.html.empty()) return {};
  const std::string title = "gguf-shard simulate " + Printable(arguments.trace, 200);
  return WriteWholeFile(arguments.html, SimulationHtml(points, title, table), Overwrite::kAllow);
}

Result<ExitCode> RunSimulate(const SimulateArguments& arguments) {
  GS_ASSIGN(const Trace trace, ReadTrace(arguments.trace));
  GS_ASSIGN(const std::vector<uint64_t> budgets, Budgets(arguments, trace));
  std::vector<SimulatedPoint> points;
  for (const uint64_t budget_bytes : budgets) {
    for (const SimulatedPolicy policy : Policies(arguments)) {
      GS_ASSIGN(SimulatedRun run, Simulate(trace, policy, budget_bytes));
      points.push_back({budget_bytes, policy, run});
    }
  }
  const std::string table = Table(points);
  GS_TRY(WriteCharts(arguments, points, table));
  if (arguments.json) {
    PrintJson(SimulationJson(points, trace));
  } else {
    fmt::print("{}: {} passes, {} uses of {} of shards\n\n{}", Printable(arguments.trace),
               trace.passes.size(), trace.uses.size(), FormatBytes(UsedShardBytes(trace)), table);
  }
  return ExitCode::kSuccess;
}

}  // namespace

void AddSimulateCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<SimulateArguments>();
  CLI::App* command = app.add_subcommand(
      "simulate", "Replay a recorded run under other cache policies and memory sizes");
  command->add_option("trace", arguments->trace, "What `gguf-shard run --trace FILE` wrote")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--budget", arguments->budgets,
                   "Sizes of the pool of weight pages (default: shares of what the run used)")
      ->delimiter(',')
      ->type_name("SIZE,...");
  command
      ->add_option("--policy", arguments->policies,
                   "Which to replay: plain_lru, lru, frequency, optimum (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"plain_lru", "lru", "frequency", "optimum"}))
      ->type_name("POLICY,...");
  command->add_option("--html", arguments->html, "Write table and plot to this file as HTML")
      ->type_name("FILE");
  command->add_option("--svg", arguments->svg, "Write the plot to this file")->type_name("FILE");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunSimulate(*arguments); }; });
}

}  // namespace gguf_shard
