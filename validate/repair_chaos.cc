// Copies of a core are damaged and repaired from each kind of good copy: the repaired core is the
// one that it was, bit for bit, and what cannot be repaired is listed to the page.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "core/cancel.h"
#include "core/edit_file.h"
#include "forge/shard.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/core_actions.h"
#include "validate/page_damage.h"
#include "validate/repair.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;
using PageSet = std::set<uint64_t>;

constexpr uint64_t kSegmentPages = 32;  // one kind of damage in each segment that is chosen
constexpr uint64_t kMostPagesOfAKind = 6;
// Of the user's core, when copies of it are made at all; one when it is large.
constexpr uint64_t kUserTrials = 2;
constexpr uint64_t kQuickCopyBytes = uint64_t{64} << 20;

// What is damaged besides pages.
enum class MoreDamage : uint8_t { kNothing, kLength, kHeader, kIndex };
constexpr uint64_t kMoreDamages = 4;

// A core, and where a damaged copy of it is repaired from.
struct RepairTask {
  fs::path map;
  RepairOptions from;
};

PageSet PagesOf(const std::vector<RepairPages>& list) {
  PageSet pages;
  for (const RepairPages& some : list) {
    for (uint64_t i = 0; i < some.pages.page_count; ++i) pages.insert(some.pages.first_page + i);
  }
  return pages;
}

uint64_t CountShared(const PageSet& a, const PageSet& b) {
  return static_cast<uint64_t>(
      std::count_if(a.begin(), a.end(), [&b](uint64_t page) { return b.contains(page); }));
}

// Damages the file as disks and people do; returns the pages before the index that it damaged.
class Damager {
 public:
  Damager(const CoreFile& core, std::mt19937_64& random) : core_(core), random_(random) {}

  // Pages of tensors only: a copy that is read from must open.
  Result<PageSet> DamagePagesOf(EditFile& file, PageDamageKind kind) {
    const PageRange window = ChooseWindow();
    std::vector<std::byte> pages(window.page_count * kPageBytes);
    GS_TRY(core_.ReadRaw(window.first_page, pages));
    const uint64_t count = 1 + random_() % kMostPagesOfAKind;
    PageSet damaged;
    for (const DamagedPage& page : DamagePages(core_, window, pages, kind, count, random_)) {
      GS_TRY(file.WriteAt(core_.page_offset(page.page_index), page.image));
      damaged.insert(page.page_index);
    }
    return damaged;
  }

  Result<void> DamageMore(EditFile& file, MoreDamage more, PageSet& damaged) {
    const MapCore& map = core_.map().core;
    switch (more) {
      case MoreDamage::kNothing:
        return {};
      case MoreDamage::kLength: {
        const uint64_t end = map.index.first_page - 1 + random_() % map.index.page_count;
        if (end < map.index.first_page) damaged.insert(end);
        return file.Resize(core_.page_offset(end) + random_() % kPageBytes);
      }
      case MoreDamage::kHeader:
        return FlipBit(file, random_() % map.data_offset);
      case MoreDamage::kIndex: {
        const uint64_t page = map.index.first_page + random_() % map.index.page_count;
        return FlipBit(file, core_.page_offset(page) + random_() % kPageBytes);
      }
    }
    return {};
  }

 private:
  PageRange ChooseWindow() {
    const MapCore& map = core_.map().core;
    uint64_t first = map.index.first_page;
    for (const MapTensor& tensor : core_.map().tensors) {
      if (tensor.layout.page_count > 0) first = std::min(first, tensor.first_page);
    }
    const uint64_t all = map.index.first_page - first;
    const uint64_t count = std::min(all, kSegmentPages);
    // Segments do not overlap: what is damaged once stays as it is.
    return {first + random_() % (all / count) * count, count};
  }

  Result<void> FlipBit(EditFile& file, uint64_t offset) {
    std::byte one{};
    GS_TRY(file.ReadAt(offset, {&one, 1}));
    one ^= std::byte{1} << (random_() % 8);
    return file.WriteAt(offset, {&one, 1});
  }

  const CoreFile& core_;
  std::mt19937_64& random_;
};

// Damages a fresh copy of a core, again and again, repairs it, and compares.
class RepairTrials {
 public:
  RepairTrials(ValidationContext& context, std::string name)
      : context_(context), name_(std::move(name)), random_(context.RandomOf(name_)) {}

  // `count` times from a whole copy: everything comes back.
  Result<void> Restore(const RepairTask& task, uint64_t count) {
    GS_ASSIGN(const CoreFile core, CoreFile::Open(task.map));
    GS_ASSIGN(const Sha256Digest right, DigestOf(core.file().path()));
    for (uint64_t i = 0; i < count; ++i) {
      GS_TRY(CheckCancelled());
      GS_ASSIGN(const fs::path map, FreshCopy(core, "victim"));
      const auto more = static_cast<MoreDamage>(i % kMoreDamages);
      GS_ASSIGN(const PageSet damaged, Damage(core, map, more));
      GS_TRY(RepairAndCount(core, map, task.from, damaged, {}));
      if (more != MoreDamage::kNothing) ++outcome_.injected;
      GS_ASSIGN(const bool same, HasDigest(map, right));
      if (same && more != MoreDamage::kNothing) ++outcome_.detected;
      if (same) ++restored_;
      if (!same) Miss("the repaired core is not the one that it was");
      ++trials_;
      context_.progress().Advance(1);
    }
    return {};
  }

  // From a copy that is damaged itself: what both have lost is listed, the rest comes back.
  Result<void> RestoreSome(const RepairTask& task, uint64_t count) {
    GS_ASSIGN(const CoreFile core, CoreFile::Open(task.map));
    GS_ASSIGN(const Sha256Digest right, DigestOf(core.file().path()));
    for (uint64_t i = 0; i < count; ++i) {
      GS_TRY(CheckCancelled());
      GS_ASSIGN(const fs::path map, FreshCopy(core, "victim"));
      GS_ASSIGN(const PageSet damaged, Damage(core, map, MoreDamage::kNothing));
      GS_ASSIGN(const fs::path copy, FreshCopy(core, "copy"));
      GS_ASSIGN(PageSet lost, LoseSome(core, copy, damaged));
      GS_TRY(RepairAndCount(core, map, {copy.string(), {}}, damaged, lost));
      // The rest of them from the whole copy.
      GS_TRY(RepairAndCount(core, map, task.from, lost, {}));
      GS_ASSIGN(const bool same, HasDigest(map, right));
      if (same) ++restored_;
      if (!same) Miss("the core that was repaired twice is not the one that it was");
      ++trials_;
      context_.progress().Advance(1);
    }
    return {};
  }

  Outcome Judge(std::string_view from) {
    JudgeDetection(outcome_);
    if (restored_ != trials_) outcome_.status = CheckStatus::kBroken;
    outcome_.happened += fmt::format("; {} of {} cores repaired from {} are bit for bit as before",
                                     restored_, trials_, from);
    return std::move(outcome_);
  }
  Outcome& outcome() { return outcome_; }

 private:
  Result<fs::path> FreshCopy(const CoreFile& core, std::string_view what) {
    GS_ASSIGN(const fs::path folder, context_.ScratchFolder(fmt::format("{}_{}", name_, what)));
    return CopyCore(core, folder);
  }

  Result<PageSet> Damage(const CoreFile& core, const fs::path& map, MoreDamage more) {
    GS_ASSIGN(EditFile file, EditFile::Open(map.parent_path() / core.map().core.file));
    Damager damager(core, random_);
    const auto kind = kPageDamageKinds[random_() % kPageDamageKinds.size()];
    GS_ASSIGN(PageSet damaged, damager.DamagePagesOf(file, kind));
    GS_TRY(damager.DamageMore(file, more, damaged));
    return damaged;
  }

  // Every second of these pages is bad in the copy as well, and so are others.
  Result<PageSet> LoseSome(const CoreFile& core, const fs::path& map, const PageSet& damaged) {
    GS_ASSIGN(EditFile file, EditFile::Open(map.parent_path() / core.map().core.file));
    PageSet lost;
    const std::vector<std::byte> zeros(kPageBytes);
    for (const uint64_t page : damaged) {
      if (random_() % 2 == 0) continue;
      GS_TRY(file.WriteAt(core.page_offset(page), zeros));
      lost.insert(page);
    }
    const auto kind = kPageDamageKinds[random_() % kPageDamageKinds.size()];
    GS_ASSIGN(const PageSet others, Damager(core, random_).DamagePagesOf(file, kind));
    for (const uint64_t page : others) {
      if (damaged.contains(page)) lost.insert(page);
    }
    return lost;
  }

  // `lost`: of the damaged pages, those that must be listed instead.
  Result<void> RepairAndCount(const CoreFile& core, const fs::path& map, const RepairOptions& from,
                              const PageSet& damaged, const PageSet& lost) {
    NoProgress progress;
    outcome_.injected += damaged.size();
    outcome_.clean += core.map().core.index.first_page - damaged.size();
    const auto report = RepairCore(map, from, progress);
    GS_TRY(CheckCancelled());
    if (!report) {
      Miss(report.error().ToString());
      return {};
    }
    const PageSet repaired = PagesOf(report->repaired);
    const PageSet unrepaired = PagesOf(report->unrepaired);
    const uint64_t listed_rightly = CountShared(unrepaired, lost);
    const uint64_t repaired_rightly = CountShared(repaired, damaged) - CountShared(repaired, lost);
    outcome_.detected += listed_rightly + repaired_rightly;
    outcome_.false_alarms += repaired.size() + unrepaired.size() - CountShared(repaired, damaged) -
                             CountShared(unrepaired, damaged);
    if (listed_rightly + repaired_rightly == damaged.size()) return {};
    Miss(
        fmt::format("of {} damaged pages, {} of them without a copy, {} were repaired and {} "
                    "listed",
                    damaged.size(), lost.size(), repaired.size(), unrepaired.size()));
    return {};
  }

  Result<bool> HasDigest(const fs::path& map, const Sha256Digest& right) const {
    const auto core = CoreFile::Open(map);
    if (!core) return false;
    GS_ASSIGN(const Sha256Digest found, DigestOf(core->file().path()));
    return found == right;
  }

  void Miss(std::string what) {
    Finding finding;
    finding.what = fmt::format("copy {}: {}", trials_, what);
    outcome_.findings.push_back(std::move(finding));
  }

  ValidationContext& context_;
  std::string name_;
  std::mt19937_64 random_;
  Outcome outcome_;
  uint64_t trials_ = 0;
  uint64_t restored_ = 0;
};

// The files that the user's core was made from, where they still lie beside it.
std::optional<fs::path> KnownSource(const CoreFile& core) {
  const fs::path folder = fs::absolute(core.map_path()).parent_path();
  for (const fs::path& place : {folder, folder.parent_path()}) {
    const auto& files = core.map().source.files;
    const bool all = std::all_of(files.begin(), files.end(), [&place](const MapSourceFile& file) {
      std::error_code error;
      return fs::file_size(place / file.name, error) == file.byte_size && !error;
    });
    if (all && !files.empty()) return place / files.front().name;
  }
  return std::nullopt;
}

// Copies of the whole core are made of small ones only, unless asked for everything.
bool CopiesUserCore(ValidationContext& context, const CoreFile& core) {
  return context.options().full || core.file().size_bytes() <= kQuickCopyBytes;
}

uint64_t TrialCount(const ValidationContext& context) {
  return std::max<uint64_t>(kMoreDamages, context.FaultsOf(400));
}

// The trials of one check: with the sample, then with the user's core where there is one to try.
Result<Outcome> RunRepairTrials(ValidationContext& context, const std::string& name,
                                const RepairTask& of_sample,
                                const std::optional<RepairTask>& of_user, std::string_view from) {
  RepairTrials trials(context, name);
  const uint64_t count = TrialCount(context);
  const uint64_t user_count = context.core_is_large() ? 1 : kUserTrials;
  context.progress().StartSteps(name, count + (of_user ? user_count : 0));
  GS_TRY(trials.Restore(of_sample, count));
  GS_ASSIGN(const SampleModel* sample, context.sample());
  trials.outcome().sampled = sample->description;
  if (of_user) {
    GS_TRY(trials.Restore(*of_user, user_count));
    trials.outcome().sampled += fmt::format("; then {} copies of the whole core", user_count);
  }
  return trials.Judge(from);
}

Result<Outcome> CheckFromSource(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  GS_ASSIGN(const CoreFile* core, context.core());
  const auto source = KnownSource(*core);
  std::optional<RepairTask> of_user;
  if (source && CopiesUserCore(context, *core)) {
    of_user = RepairTask{core->map_path(), {source->string(), {}}};
  }
  return RunRepairTrials(context, "repair.from_source",
                         {sample->core / kMapFileName, {sample->base_gguf.string(), {}}}, of_user,
                         "the source GGUF");
}

Result<Outcome> CheckFromCore(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  GS_ASSIGN(const CoreFile* core, context.core());
  std::optional<RepairTask> of_user;
  if (CopiesUserCore(context, *core)) {
    of_user = RepairTask{core->map_path(), {core->map_path().string(), {}}};
  }
  return RunRepairTrials(context, "repair.from_core",
                         {sample->core / kMapFileName, {sample->core.string(), {}}}, of_user,
                         "another copy of the core");
}

// The user's core with the user's patches applied.
Result<std::optional<RepairTask>> PatchedTask(ValidationContext& context, const CoreFile& core) {
  const auto& patches = context.options().patches;
  if (patches.empty() || !CopiesUserCore(context, core)) return std::nullopt;
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("repair_variant"));
  GS_ASSIGN(const fs::path map, CopyCore(core, folder));
  for (const fs::path& patch : patches) GS_TRY(PatchInPlace(map, patch, context.byte_progress()));
  return RepairTask{map, {core.map_path().string(), patches}};
}

Result<Outcome> CheckFromPatch(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  GS_ASSIGN(const CoreFile* core, context.core());
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("repair_target"));
  ShardOptions shard;
  shard.output_directory = folder;
  shard.overwrite = Overwrite::kAllow;
  NoProgress progress;
  GS_TRY(ShardModel(sample->target_gguf, shard, progress));
  GS_ASSIGN(const auto of_user, PatchedTask(context, *core));
  return RunRepairTrials(context, "repair.from_patch",
                         {folder / kMapFileName, {sample->core.string(), {sample->patch}}}, of_user,
                         "a base with its patch");
}

Result<Outcome> CheckUnrepairable(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  RepairTrials trials(context, "repair.unrepairable");
  const uint64_t count = TrialCount(context);
  context.progress().StartSteps("repair.unrepairable", count);
  trials.outcome().sampled = sample->description;
  GS_TRY(
      trials.RestoreSome({sample->core / kMapFileName, {sample->base_gguf.string(), {}}}, count));
  return trials.Judge("a damaged copy, and what was left from the source GGUF,");
}

}  // namespace

void AddRepairChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kChaos;
  checks.push_back({"repair.from_source", group,
                    "damaged pages, index, header and length come back bit for bit from the GGUF",
                    CheckFromSource});
  checks.push_back({"repair.from_core", group,
                    "damaged pages, index, header and length come back bit for bit from another "
                    "copy of the core",
                    CheckFromCore});
  checks.push_back({"repair.from_patch", group,
                    "damaged pages, index, header and length of a patched model come back bit for "
                    "bit from its base and patch",
                    CheckFromPatch});
  checks.push_back({"repair.unrepairable", group,
                    "pages that the copy has lost too are listed, exactly those, and the others "
                    "are repaired",
                    CheckUnrepairable});
}

}  // namespace gguf_shard
