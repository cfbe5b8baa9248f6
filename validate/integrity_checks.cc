// Is the core what it was when it was made? One pass over the file answers for all of these.
#include <fmt/format.h>

#include "validate/check_list.h"
#include "validate/context.h"

namespace gguf_shard {
namespace {

const MapTensor* TensorOf(const CoreMap& map, std::string_view subject) {
  constexpr std::string_view kPrefix = "tensor ";
  if (subject.starts_with(kPrefix)) subject.remove_prefix(kPrefix.size());
  return map.FindTensor(subject);
}

void SetPlace(const CoreMap& map, Finding& finding) {
  const MapTensor* tensor = TensorOf(map, finding.owner);
  if (tensor == nullptr) return;
  finding.owner = tensor->name;
  finding.layer = tensor->layer;
  finding.zone = ZoneName(tensor->zone);
}

std::string_view WhatIsWrong(PageFaultKind kind) {
  switch (kind) {
    case PageFaultKind::kTag:
      return "the page fails its tag";
    case PageFaultKind::kStale:
      return "an old version of the page, not the one in the index";
    case PageFaultKind::kUnreadable:
      return "the page cannot be read";
  }
  return "the page is bad";
}

Finding FindingOf(const CoreMap& map, const BadPages& bad) {
  Finding finding;
  finding.what = WhatIsWrong(bad.kind);
  finding.owner = bad.owner;
  finding.pages = bad.pages;
  finding.expected = bad.expected;
  finding.found = bad.found;
  SetPlace(map, finding);
  return finding;
}

Finding FindingOf(const CoreMap& map, const VerifyFault& fault) {
  Finding finding;
  finding.what = fault.sentence;
  finding.owner = fault.subject;
  finding.expected = fault.expected;
  finding.found = fault.found;
  SetPlace(map, finding);
  return finding;
}

Outcome Judge(std::vector<Finding> findings, uint64_t clean, std::string intact) {
  Outcome outcome = Passed(std::move(intact));
  outcome.clean = clean;
  if (findings.empty()) return outcome;
  outcome.status = CheckStatus::kDamaged;
  outcome.happened = fmt::format("{} faults, listed below", findings.size());
  outcome.findings = std::move(findings);
  return outcome;
}

Result<Outcome> CheckMap(ValidationContext& context) {
  GS_ASSIGN(const CoreFile* core, context.core());
  const CoreMap& map = core->map();
  return Passed(fmt::format("{} tensors on {} pages, {} source files; core id {}",
                            map.tensors.size(), map.core.page_count, map.source.files.size(),
                            CoreIdToHex(map.core.id)));
}

Result<Outcome> CheckPages(ValidationContext& context) {
  GS_ASSIGN(const VerifyReport* report, context.verification());
  std::vector<Finding> findings;
  for (const BadPages& bad : report->bad_pages) findings.push_back(FindingOf(report->map, bad));
  const uint64_t good = report->checked_page_count - report->bad_page_count;
  Outcome outcome = Judge(std::move(findings), good,
                          fmt::format("{} pages pass their tags and are those of the index", good));
  if (report->bad_page_count > 0) {
    outcome.happened =
        fmt::format("{} of {} pages are bad", report->bad_page_count, report->checked_page_count);
  }
  return outcome;
}

constexpr std::string_view kIndexSubject = "index";

std::vector<Finding> FaultsOf(const VerifyReport& report, bool of_index) {
  std::vector<Finding> findings;
  for (const VerifyFault& fault : report.faults) {
    if ((fault.subject == kIndexSubject) != of_index) continue;
    findings.push_back(FindingOf(report.map, fault));
  }
  return findings;
}

Result<Outcome> CheckIndex(ValidationContext& context) {
  GS_ASSIGN(const VerifyReport* report, context.verification());
  return Judge(FaultsOf(*report, true), 1,
               fmt::format("SHA-256 {}", ToHex(report->map.core.index_sha256)));
}

Result<Outcome> CheckReconstruction(ValidationContext& context) {
  GS_ASSIGN(const VerifyReport* report, context.verification());
  std::string intact = fmt::format("{} tensors have their digests", report->map.tensors.size());
  for (const MapSourceFile& file : report->map.source.files) {
    intact += fmt::format("; {} has SHA-256 {}", file.name, ToHex(file.sha256));
  }
  return Judge(FaultsOf(*report, false), report->map.tensors.size(), std::move(intact));
}

}  // namespace

void AddIntegrityChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kIntegrity;
  checks.push_back({"core.map", group,
                    "the map obeys its schema's rules and belongs to this core, number by number",
                    CheckMap});
  checks.push_back({"core.pages", group,
                    "every page passes its tag and is the one that the index lists", CheckPages});
  checks.push_back(
      {"core.index", group, "the index has the SHA-256 that the map promises", CheckIndex});
  checks.push_back({"core.reconstruction", group,
                    "the source files come back bit for bit: every tensor's digest, every file's "
                    "SHA-256",
                    CheckReconstruction});
}

}  // namespace gguf_shard
