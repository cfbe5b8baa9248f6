#include "cli/device_statistics.h"

#include <fmt/format.h>

#include "cli/format.h"
#include "core/page.h"

namespace gguf_shard {
namespace {

constexpr double kMicroseconds = 1e6;
constexpr double kGigabyte = 1e9;

std::string Percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "0 %";
  return fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string PageLine(const char* name, uint64_t pages, uint64_t all_pages) {
  return fmt::format("  {:<18} {:>10}  ({}, {})\n", name, pages, FormatBytes(pages * kPageBytes),
                     Percent(pages, all_pages));
}

double PerPass(uint64_t count, uint64_t passes) {
  return passes == 0 ? 0 : static_cast<double>(count) / static_cast<double>(passes);
}

double CheckBytesPerSecond(const VulkanAtlasStats& atlas) {
  if (atlas.check_seconds <= 0) return 0;
  return static_cast<double>(atlas.checked_pages * kPageBytes) / atlas.check_seconds;
}

std::string LayerText(const DeviceStats& device) {
  if (device.first_layer == 0) return "all layers";
  return fmt::format("the last {} of {} layers", device.layer_count,
                     device.first_layer + device.layer_count);
}

std::string WayText(const DeviceStats& device) {
  const VulkanAtlasStats& atlas = device.atlas;
  std::string text =
      fmt::format("  loaded    {} pages from disk, {} from the host's cache of {}\n",
                  atlas.disk_pages, atlas.host_hit_pages, FormatBytes(atlas.host_cache_bytes));
  text += fmt::format("  link      {} to the device ({}), {} back\n",
                      FormatBytes(atlas.bytes_to_device), TransferMethodName(atlas.transfer),
                      FormatBytes(device.read_back_bytes));
  text += fmt::format("  checked   {} pages there in {:.3f} s ({:.2f} GB/s)\n", atlas.checked_pages,
                      atlas.check_seconds, CheckBytesPerSecond(atlas) / kGigabyte);
  text += fmt::format(
      "  swaps     {} of {} runs; seen after {:.0f} us on average (half within {:.0f}, 99 % within "
      "{:.0f})\n",
      atlas.swaps, atlas.swapped_runs, atlas.swap_mean_seconds * kMicroseconds,
      atlas.swap_p50_seconds * kMicroseconds, atlas.swap_p99_seconds * kMicroseconds);
  return text;
}

std::string DeviceMemoryText(const DeviceStats& device) {
  std::string text =
      fmt::format("  memory    {} taken at most of {} (pages {}, keys/values {}, activations {})",
                  FormatBytes(device.peak_bytes), FormatBytes(device.limit_bytes),
                  FormatBytes(device.atlas.device_bytes), FormatBytes(device.cache_bytes),
                  FormatBytes(device.activation_bytes));
  if (device.atlas.driver_reported_bytes > 0) {
    text += fmt::format("; the driver says {}", FormatBytes(device.atlas.driver_reported_bytes));
  }
  return text + "\n";
}

}  // namespace

std::string PageUseText(const AtlasStats& atlas) {
  const uint64_t pages = atlas.page_hits + atlas.prefetch_covered_pages + atlas.stalled_pages;
  std::string text = fmt::format("pages used  {}\n", pages);
  text += PageLine("hits", atlas.page_hits, pages);
  text += PageLine("covered by prefetch", atlas.prefetch_covered_pages, pages);
  text += PageLine("stalled", atlas.stalled_pages, pages);
  text += fmt::format("stalls      {}, {:.2f} s in all\n", atlas.stalls, atlas.stall_seconds);
  return text;
}

std::string DeviceStatisticsText(const EngineStats& stats, const MemoryPlan& plan) {
  const DeviceStats& device = *stats.device;
  std::string text = fmt::format("device      {}: {}\n", device.name, LayerText(device));
  if (device.first_layer > 0) text += PageUseText(device.atlas.pages);
  text += WayText(device);
  text += fmt::format("  submitted {} times, {:.1f} per pass; the host waited {} times\n",
                      device.waves, PerPass(device.waves, stats.passes), device.host_waits);
  text += DeviceMemoryText(device);
  if (device.unified_memory && plan.budget_bytes > 0) {
    text += "            (memory of the host: the budget below counts it)\n";
  }
  return text;
}

nlohmann::ordered_json DeviceStatisticsJson(const EngineStats& stats) {
  const DeviceStats& device = *stats.device;
  const VulkanAtlasStats& atlas = device.atlas;
  return {
      {"name", device.name},
      {"first_layer", device.first_layer},
      {"layers", device.layer_count},
      {"unified_memory", device.unified_memory},
      {"page_hits", atlas.pages.page_hits},
      {"prefetch_covered_pages", atlas.pages.prefetch_covered_pages},
      {"stalled_pages", atlas.pages.stalled_pages},
      {"stalls", atlas.pages.stalls},
      {"stall_seconds", atlas.pages.stall_seconds},
      {"evictions", atlas.pages.evictions},
      {"retried_pages", atlas.pages.retried_pages},
      {"host_hit_pages", atlas.host_hit_pages},
      {"disk_pages", atlas.disk_pages},
      {"bytes_read", atlas.pages.bytes_read},
      {"host_cache_bytes", atlas.host_cache_bytes},
      {"transfer", TransferMethodName(atlas.transfer)},
      {"bytes_to_device", atlas.bytes_to_device},
      {"bytes_read_back", device.read_back_bytes},
      {"checked_pages", atlas.checked_pages},
      {"check_seconds", atlas.check_seconds},
      {"swaps", atlas.swaps},
      {"swapped_runs", atlas.swapped_runs},
      {"swap_mean_seconds", atlas.swap_mean_seconds},
      {"swap_p50_seconds", atlas.swap_p50_seconds},
      {"swap_p99_seconds", atlas.swap_p99_seconds},
      {"submissions", device.waves},
      {"host_waits", device.host_waits},
      {"limit_bytes", device.limit_bytes},
      {"peak_bytes", device.peak_bytes},
      {"driver_reported_bytes", atlas.driver_reported_bytes},
      {"page_memory_bytes", atlas.device_bytes},
      {"kv_cache_bytes", device.cache_bytes},
      {"activation_bytes", device.activation_bytes},
  };
}

}  // namespace gguf_shard
