#include "runtime/process_memory.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace gguf_shard {
namespace {

// The number after "NAME:" in a file of lines "NAME:   123 kB", in bytes.
std::optional<uint64_t> KilobyteField(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    const size_t digits = line.find_first_of("0123456789");
    if (digits == std::string::npos) return std::nullopt;
    uint64_t kilobytes = 0;
    std::from_chars(line.data() + digits, line.data() + line.size(), kilobytes);
    return kilobytes * 1024;
  }
  return std::nullopt;
}

// A file that holds one number; nothing for "max" or when there is no such file.
std::optional<uint64_t> NumberIn(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string text;
  if (!(file >> text)) return std::nullopt;
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc()) return std::nullopt;
  return number;
}

// What the process's control group (version 2) and those above it still allow.
std::optional<uint64_t> ControlGroupHeadroom() {
  std::ifstream file("/proc/self/cgroup");
  std::string place;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/")) place = line.substr(4);
  }
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::optional<uint64_t> least;
  for (std::filesystem::path group = root / place;; group = group.parent_path()) {
    const auto limit = NumberIn(group / "memory.max");
    const auto used = NumberIn(group / "memory.current");
    if (limit && used) {
      const uint64_t left = *limit > *used ? *limit - *used : 0;
      least = std::min(least.value_or(left), left);
    }
    if (group == root || group == group.parent_path()) return least;
  }
}

}  // namespace

Result<ProcessMemory> ReadProcessMemory() {
  constexpr const char* kStatus = "/proc/self/status";
  const auto resident = KilobyteField(kStatus, "VmRSS");
  const auto peak = KilobyteField(kStatus, "VmHWM");
  if (!resident || !peak) {
    return Fail(Error(ErrorCode::kIo, "cannot read this process's memory use").File(kStatus));
  }
  return ProcessMemory{*resident, std::max(*resident, *peak)};
}

Result<uint64_t> AvailableMemoryBytes() {
  constexpr const char* kMemInfo = "/proc/meminfo";
  const auto available = KilobyteField(kMemInfo, "MemAvailable");
  if (!available) {
    return Fail(Error(ErrorCode::kIo, "cannot read the free memory").File(kMemInfo));
  }
  return std::min(*available, ControlGroupHeadroom().value_or(*available));
}

void KeepHeapSmall() {
  constexpr int kMmapThresholdBytes = 128 * 1024;
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);  // also stops it from growing by itself
  mallopt(M_TRIM_THRESHOLD, kMmapThresholdBytes);
  malloc_trim(0);
}

}  // namespace gguf_shard
