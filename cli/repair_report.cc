#include "cli/repair_report.h"

#include <fmt/format.h>

#include "cli/format.h"

namespace gguf_shard {
namespace {

nlohmann::ordered_json PagesJson(const std::vector<RepairPages>& list) {
  auto json = nlohmann::ordered_json::array();
  for (const RepairPages& entry : list) {
    nlohmann::ordered_json pages = {{"first_page", entry.pages.first_page},
                                    {"page_count", entry.pages.page_count},
                                    {"tensor", entry.owner}};
    if (!entry.reason.empty()) pages["reason"] = entry.reason;
    json.push_back(std::move(pages));
  }
  return json;
}

std::string RestoredText(const RepairReport& report) {
  std::string text;
  if (report.header_restored) text += "header: made anew from the map\n";
  if (report.index_restored) text += "index: made anew from the pages\n";
  if (report.map_restored) text += "map: taken from the copy\n";
  return text;
}

}  // namespace

std::string PagesText(const PageRange& pages) {
  if (pages.page_count == 1) return fmt::format("page {}", pages.first_page);
  return fmt::format("pages {} to {}", pages.first_page, pages.end_page() - 1);
}

std::string RepairText(const RepairReport& report, bool quiet) {
  std::string text;
  if (!quiet) {
    text += RestoredText(report);
    for (const RepairPages& entry : report.repaired) {
      text += fmt::format("{} of {}: repaired\n", PagesText(entry.pages), Printable(entry.owner));
    }
  }
  for (const RepairPages& entry : report.unrepaired) {
    text += fmt::format("{} of {}: NOT repaired: {}\n", PagesText(entry.pages),
                        Printable(entry.owner), Printable(entry.reason));
  }
  return text;
}

nlohmann::ordered_json RepairJson(const RepairReport& report) {
  return {
      {"complete", report.complete()},           {"written", report.written},
      {"bad_page_count", report.bad_page_count}, {"header_restored", report.header_restored},
      {"index_restored", report.index_restored}, {"map_restored", report.map_restored},
      {"repaired", PagesJson(report.repaired)},  {"not_repaired", PagesJson(report.unrepaired)}};
}

}  // namespace gguf_shard
