// Reports of a validation: JSON (schemas/validation.schema.json), JUnit XML for build servers, and
// one self-contained HTML page for people. Text, lists and page maps are cut nowhere.
// Thread-safety: pure functions, but for WriteReport, which writes a file.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "validate/validation.h"

namespace gguf_shard {

nlohmann::ordered_json ReportJson(const ValidationReport& report);
std::string ReportJunit(const ValidationReport& report);
std::string ReportHtml(const ValidationReport& report);

enum class ReportFormat : uint8_t { kJson, kHtml, kJunit };
// By the end of the name: .json, .html, .xml; kInvalidArgument for others.
Result<ReportFormat> ReportFormatOf(const std::filesystem::path& path);
// Replaces the file.
Result<void> WriteReport(const ValidationReport& report, const std::filesystem::path& path);

}  // namespace gguf_shard
