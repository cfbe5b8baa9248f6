// Damaged pages on their way from the disk: does the reader that verification uses name each of
// them, and nothing else?
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "atlas/page_pool.h"
#include "core/cancel.h"
#include "forge/page_reader.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/page_damage.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kWindowPages = 256;
constexpr uint64_t kPagesPerFault = 6;  // so many pages of a window have one damaged one

std::string CheckName(PageDamageKind kind) { return fmt::format("pages.{}", PageDamageName(kind)); }

class PageChaos {
 public:
  static Result<PageChaos> Create(ValidationContext& context, PageDamageKind kind) {
    GS_ASSIGN(const CoreFile* core, context.core());
    GS_ASSIGN(PageReader reader, PageReader::Open(*core));
    GS_ASSIGN(PagePool pool, PagePool::Allocate(kWindowPages));
    PageChaos chaos(context, *core, std::move(reader), std::move(pool), kind);
    GS_TRY(chaos.operations_->SetTarget(core->file().path()));
    return chaos;
  }

  Result<Outcome> Run() {
    const uint64_t faults = context_.FaultsOf(kPageDamageKinds.size());
    context_.progress().Start(CheckName(kind_), faults * kPagesPerFault * kPageBytes);
    while (outcome_.injected < faults) {
      GS_TRY(CheckCancelled());
      DamageWindow(ChooseWindow(), faults - outcome_.injected);
    }
    JudgeDetection(outcome_);
    outcome_.sampled = fmt::format("{} windows of up to {} pages, of {} pages", windows_,
                                   kWindowPages, core_.map().core.page_count);
    return std::move(outcome_);
  }

 private:
  PageChaos(ValidationContext& context, const CoreFile& core, PageReader reader, PagePool pool,
            PageDamageKind kind)
      : context_(context),
        core_(core),
        reader_(std::move(reader)),
        pool_(std::move(pool)),
        kind_(kind),
        random_(context.RandomOf(CheckName(kind))),
        operations_(std::make_unique<FaultFileOperations>(context.options().seed)) {}

  PageRange ChooseWindow() {
    const uint64_t all = core_.map().core.index.first_page;
    const uint64_t count = std::min(all, kWindowPages);
    return {random_() % (all - count + 1), count};
  }

  std::span<std::byte> Buffer(PageRange window) {
    return {pool_.slot(0), static_cast<size_t>(window.page_count * kPageBytes)};
  }

  // First as it is, then with faults.
  void DamageWindow(PageRange window, uint64_t most) {
    const auto buffer = Buffer(window);
    outcome_.false_alarms += reader_.Read(window.first_page, buffer).size();
    outcome_.clean += window.page_count;
    const uint64_t count = std::min(most, window.page_count / kPagesPerFault);
    auto damaged = DamagePages(core_, window, buffer, kind_, count, random_);
    std::set<uint64_t> expected;
    for (const DamagedPage& page : damaged) expected.insert(page.page_index);
    Inject(core_, std::move(damaged), *operations_);
    std::vector<PageFault> found;
    {
      const ScopedFileOperations scope(*operations_);
      found = reader_.Read(window.first_page, buffer);
    }
    operations_->ClearReadFaults();
    Count(window, expected, found);
    ++windows_;
    context_.progress().Advance(expected.size() * kPagesPerFault * kPageBytes);
  }

  void Count(PageRange window, const std::set<uint64_t>& expected,
             const std::vector<PageFault>& found) {
    const auto right =
        kind_ == PageDamageKind::kStale ? PageFaultKind::kStale : PageFaultKind::kTag;
    std::set<uint64_t> named;
    for (const PageFault& fault : found) {
      if (!expected.contains(fault.page_index)) {
        ++outcome_.false_alarms;
      } else if (fault.kind == right) {
        named.insert(fault.page_index);
      }
    }
    outcome_.injected += expected.size();
    outcome_.detected += named.size();
    outcome_.clean += window.page_count - expected.size();
    for (const uint64_t page : expected) {
      if (named.contains(page)) continue;
      Finding finding;
      finding.what = fmt::format("a page was damaged ({}) and not named", PageDamageName(kind_));
      finding.owner = core_.PageOwner(page);
      finding.pages = {page, 1};
      outcome_.findings.push_back(std::move(finding));
    }
  }

  ValidationContext& context_;
  const CoreFile& core_;
  PageReader reader_;
  PagePool pool_;
  PageDamageKind kind_;
  std::mt19937_64 random_;
  std::unique_ptr<FaultFileOperations> operations_;
  Outcome outcome_;
  uint64_t windows_ = 0;
};

std::string_view PromiseOf(PageDamageKind kind) {
  switch (kind) {
    case PageDamageKind::kBitFlip:
      return "every page with one flipped bit is named";
    case PageDamageKind::kBurst:
      return "every page with up to 512 wrong bytes in a row is named";
    case PageDamageKind::kZeroed:
      return "every page of which all or half became zero is named";
    case PageDamageKind::kSwapped:
      return "two pages that changed places are both named";
    case PageDamageKind::kDuplicated:
      return "a page that was written over another one is named there";
    case PageDamageKind::kStale:
      return "an old version of a page, with a right tag, is named by the index";
    case PageDamageKind::kForeign:
      return "a page of another core is named";
  }
  return "";
}

// A disk that gives some pages only at the second try, and some never.
Result<Outcome> CheckPageReadErrors(ValidationContext& context) {
  GS_ASSIGN(const CoreFile* core, context.core());
  GS_ASSIGN(const PageReader reader, PageReader::Open(*core));
  GS_ASSIGN(const PagePool pool, PagePool::Allocate(kWindowPages));
  FaultFileOperations operations(context.options().seed);
  GS_TRY(operations.SetTarget(core->file().path()));
  auto random = context.RandomOf("pages.read_error");
  const uint64_t all = core->map().core.index.first_page;
  // Small: a window that cannot be read as a whole is read page by page.
  constexpr uint64_t kReadErrorPages = 32;
  const PageRange window{0, std::min(all, kReadErrorPages)};
  const std::span target(pool.slot(0), static_cast<size_t>(window.page_count * kPageBytes));
  // What the file layer tries again, and then the reader, page by page.
  constexpr uint64_t kSurvivedFailures = 5;
  Outcome outcome;
  const uint64_t count = context.FaultsOf(50);
  context.progress().StartSteps("pages.read_error", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    const bool forever = i % 2 == 0;
    const uint64_t page = random() % window.page_count;
    const uint64_t times = 1 + random() % kSurvivedFailures;
    operations.FailReadsOf(core->page_offset(page), forever ? FaultFileOperations::kNever : times);
    const ScopedFileOperations scope(operations);
    const auto found = reader.Read(window.first_page, target);
    operations.ClearReadFaults();
    const bool named = found.size() == 1 && found[0].page_index == page &&
                       found[0].kind == PageFaultKind::kUnreadable;
    outcome.injected += forever ? 1 : 0;
    outcome.detected += forever && named ? 1 : 0;
    outcome.clean += forever ? 0 : 1;
    outcome.false_alarms += !forever && !found.empty() ? 1 : 0;
    context.progress().Advance(1);
  }
  JudgeDetection(outcome);
  return outcome;
}

}  // namespace

void AddPageChaosChecks(std::vector<Check>& checks) {
  for (const PageDamageKind kind : kPageDamageKinds) {
    checks.push_back({CheckName(kind), CheckGroup::kChaos, std::string(PromiseOf(kind)),
                      [kind](ValidationContext& context) -> Result<Outcome> {
                        GS_ASSIGN(PageChaos chaos, PageChaos::Create(context, kind));
                        return chaos.Run();
                      }});
  }
  checks.push_back({"pages.read_error", CheckGroup::kChaos,
                    "a page that the disk refuses is named; one that it gives at the second try is "
                    "no fault",
                    CheckPageReadErrors});
}

}  // namespace gguf_shard
