// gguf-shard devices: the Vulkan devices of this system, what they offer, and why one is not used.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_output.h"
#include "gpu/device.h"

namespace gguf_shard {
namespace {

using gpu::DeviceInfo;

struct DevicesArguments {
  bool json = false;
};

std::vector<std::string> Features(const DeviceInfo& info) {
  std::vector<std::string> names;
  const auto add = [&](bool has, const char* name) {
    if (has) names.emplace_back(name);
  };
  add(info.has_transfer_queue, "transfer queue");
  add(info.imports_host_memory, "host memory import");
  add(info.has_memory_budget, "memory budget");
  add(info.float16, "16-bit floats");
  add(info.integer_dot_product, "integer dot product");
  add(info.cooperative_matrix, "cooperative matrix");
  return names;
}

std::string Subgroups(const DeviceInfo& info) {
  if (info.min_subgroup_size == info.max_subgroup_size) {
    return fmt::format("{} invocations", info.subgroup_size);
  }
  return fmt::format("{} invocations, {} to {} on request", info.subgroup_size,
                     info.min_subgroup_size, info.max_subgroup_size);
}

std::string Text(const DeviceInfo& info) {
  std::string text = fmt::format("vulkan:{}   {}\n  type      {}{}\n", info.index,
                                 Printable(info.name), gpu::DeviceTypeName(info.type),
                                 info.unified_memory ? ", its memory is the host's" : "");
  // One that is refused for its version was not asked for more.
  if (!info.driver.empty()) {
    text += fmt::format("  driver    {}\n", Printable(info.driver));
    text += fmt::format("  memory    {}, {} free; at most {} at once, {} in a buffer\n",
                        FormatBytes(info.local_memory_bytes), FormatBytes(info.free_memory_bytes),
                        FormatBytes(info.max_allocation_bytes), FormatBytes(info.max_buffer_bytes));
    text += fmt::format("  features  {}\n", fmt::join(Features(info), ", "));
    text += fmt::format("  subgroup  {}\n", Subgroups(info));
  }
  if (!info.usable()) text += fmt::format("  refused   {}\n", info.refusal);
  return text;
}

nlohmann::ordered_json DeviceJson(const DeviceInfo& info) {
  nlohmann::ordered_json json = {{"device", fmt::format("vulkan:{}", info.index)},
                                 {"name", info.name},
                                 {"driver", info.driver},
                                 {"type", gpu::DeviceTypeName(info.type)},
                                 {"usable", info.usable()},
                                 {"local_memory_bytes", info.local_memory_bytes},
                                 {"free_memory_bytes", info.free_memory_bytes},
                                 {"max_allocation_bytes", info.max_allocation_bytes},
                                 {"max_buffer_bytes", info.max_buffer_bytes},
                                 {"unified_memory", info.unified_memory},
                                 {"transfer_queue", info.has_transfer_queue},
                                 {"host_memory_import", info.imports_host_memory},
                                 {"memory_budget", info.has_memory_budget},
                                 {"float16", info.float16},
                                 {"integer_dot_product", info.integer_dot_product},
                                 {"cooperative_matrix", info.cooperative_matrix},
                                 {"subgroup_size", info.subgroup_size},
                                 {"min_subgroup_size", info.min_subgroup_size},
                                 {"max_subgroup_size", info.max_subgroup_size},
                                 {"shared_memory_bytes", info.shared_memory_bytes},
                                 {"max_workgroup_invocations", info.max_workgroup_invocations}};
  if (!info.usable()) json["refusal"] = info.refusal;
  return json;
}

Result<ExitCode> RunDevices(const DevicesArguments& arguments) {
  std::string why_none;
  const std::vector<DeviceInfo> devices = gpu::ListDevices(&why_none);
  if (arguments.json) {
    nlohmann::ordered_json document = {{"devices", nlohmann::ordered_json::array()}};
    for (const DeviceInfo& info : devices) document["devices"].push_back(DeviceJson(info));
    if (devices.empty()) document["why_none"] = why_none;
    PrintJson(document);
    return ExitCode::kSuccess;
  }
  for (const DeviceInfo& info : devices) fmt::print("{}", Text(info));
  if (devices.empty()) fmt::print("no Vulkan device: {}\n", why_none);
  return ExitCode::kSuccess;
}

}  // namespace

void AddDevicesCommand(CLI::App& app, CommandLine& line) {
  auto arguments = std::make_shared<DevicesArguments>();
  CLI::App* command = app.add_subcommand(
      "devices", "List Vulkan devices: type, memory, features, and why one is refused");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback(
      [arguments, &line] { line.run = [arguments] { return RunDevices(*arguments); }; });
}

}  // namespace gguf_shard
