#include "cli/size_argument.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

namespace gguf_shard {
namespace {

// The factor that a unit stands for; nothing for an unknown one.
std::optional<double> UnitFactor(std::string unit) {
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (unit.empty() || unit == "B") return 1.0;
  const size_t power = std::string_view("KMGT").find(unit.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = std::string_view(unit).substr(1);
  if (rest.empty() || rest == "IB") return std::pow(1024.0, static_cast<double>(power + 1));
  if (rest == "B") return std::pow(1000.0, static_cast<double>(power + 1));
  return std::nullopt;
}

}  // namespace

Result<uint64_t> ParseByteSize(std::string_view text) {
  const auto fail = [text] {
    return Fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is not a size like 512M, 2G or 1.5GiB", text));
  };
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (status != std::errc() || text.front() == '-') return fail();
  const auto factor = UnitFactor(std::string(rest, end));
  if (!factor) return fail();
  const double bytes = number * *factor;
  // 2^63: far above any machine, and exact in a double. Also refuses infinity and NaN.
  if (!(bytes < 9223372036854775808.0)) return fail();
  return static_cast<uint64_t>(bytes);
}

CLI::Option* AddSizeOption(CLI::App& command, const std::string& name, uint64_t& target_bytes,
                           const std::string& description) {
  const auto parse = [&target_bytes](const std::string& text) {
    const auto bytes = ParseByteSize(text);
    // Thrown inside the parser, which reports it with the option's name.
    if (!bytes) throw CLI::ValidationError(bytes.error().sentence());
    target_bytes = *bytes;
  };
  return command.add_option_function<std::string>(name, parse, description)->type_name("SIZE");
}

}  // namespace gguf_shard
