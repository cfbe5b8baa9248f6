// Truncated, mutated and damaged files, on copies of the sample: refused, or intact to the byte.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "core/cancel.h"
#include "core/file.h"
#include "delta/patch_io.h"
#include "delta/report.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/core_actions.h"
#include "validate/fault_file_operations.h"
#include "validate/json_mutation.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

// Descending, 0 and all but two bytes among them: the last byte of a map is a line end, which says
// nothing.
std::vector<uint64_t> CutPlaces(uint64_t size_bytes, uint64_t count, std::mt19937_64& random) {
  std::vector<uint64_t> places = {0, size_bytes - 2};
  while (places.size() < count) places.push_back(random() % (size_bytes - 1));
  std::sort(places.rbegin(), places.rend());
  return places;
}

Finding Missed(std::string what) {
  Finding finding;
  finding.what = std::move(what);
  return finding;
}

// Cuts the file shorter and shorter; each time `is_refused` has to say so.
Result<void> CutAndTry(const fs::path& path, uint64_t count, std::mt19937_64& random,
                       const std::function<bool()>& is_refused, Progress& progress,
                       Outcome& outcome) {
  std::error_code error;
  if (is_refused()) ++outcome.false_alarms;
  ++outcome.clean;
  for (const uint64_t place : CutPlaces(fs::file_size(path, error), count, random)) {
    GS_TRY(CheckCancelled());
    progress.Advance(1);
    fs::resize_file(path, place, error);
    if (error) return Fail(Error(ErrorCode::kIo, error.message()).File(path.string()));
    ++outcome.injected;
    if (is_refused()) {
      ++outcome.detected;
    } else {
      outcome.findings.push_back(
          Missed(fmt::format("{} cut to {} bytes is accepted", path.filename().string(), place)));
    }
  }
  return {};
}

Result<Outcome> CheckTruncated(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  auto random = context.RandomOf("files.truncated");
  const uint64_t count = std::max<uint64_t>(3, context.FaultsOf(100));
  context.progress().StartSteps("files.truncated", 3 * count);
  Outcome outcome;
  outcome.sampled = sample->description;
  GS_ASSIGN(const CoreFile core, CoreFile::Open(sample->core));
  for (const bool cut_map : {false, true}) {
    GS_ASSIGN(const fs::path folder, context.ScratchFolder("truncated"));
    GS_ASSIGN(const fs::path map, CopyCore(core, folder));
    const fs::path victim = cut_map ? map : folder / core.file().path().filename();
    GS_TRY(CutAndTry(
        victim, count, random, [&] { return !CoreFile::Open(map); }, context.progress(), outcome));
  }
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("truncated"));
  const fs::path patch = folder / "cut.sgdelta";
  std::error_code error;
  fs::copy_file(sample->patch, patch, error);
  GS_TRY(CutAndTry(
      patch, count, random, [&] { return !PatchReader::Open(patch); }, context.progress(),
      outcome));
  JudgeDetection(outcome);
  return outcome;
}

// Refused when opened; or found by verification; or nothing changed that decides about bytes.
enum class MapFate : uint8_t { kDetected, kHarmless, kMissed };

Result<MapFate> FateOf(const fs::path& map_path, const Sha256Digest& layout) {
  const auto opened = CoreFile::Open(map_path);
  if (!opened) return MapFate::kDetected;
  NoProgress progress;
  const auto report = VerifyCore(map_path, VerifyDepth::kFull, progress);
  if (!report || !report->intact()) return MapFate::kDetected;
  return LayoutDigest(opened->map()) == layout ? MapFate::kHarmless : MapFate::kMissed;
}

Result<Outcome> CheckMutatedMap(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  auto random = context.RandomOf("files.mutated_map");
  GS_ASSIGN(const CoreFile core, CoreFile::Open(sample->core));
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("mutated_map"));
  GS_ASSIGN(const fs::path map, CopyCore(core, folder));
  GS_ASSIGN(const std::string text, ReadWholeFile(map, kMaxMapBytes));
  const Sha256Digest layout = LayoutDigest(core.map());
  Outcome outcome;
  outcome.sampled = sample->description;
  const uint64_t count = context.FaultsOf(20);
  context.progress().StartSteps("files.mutated_map", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    const JsonMutation mutation = MutateJson(text, random);
    GS_TRY(WriteWholeFile(map, mutation.text, Overwrite::kAllow));
    GS_ASSIGN(const MapFate fate, FateOf(map, layout));
    ++outcome.injected;
    outcome.detected += fate == MapFate::kDetected ? 1 : 0;
    outcome.harmless += fate == MapFate::kHarmless ? 1 : 0;
    if (fate == MapFate::kMissed) outcome.findings.push_back(Missed(mutation.what));
  }
  GS_TRY(WriteWholeFile(map, text, Overwrite::kAllow));
  GS_ASSIGN(const MapFate as_it_was, FateOf(map, layout));
  outcome.clean = 1;
  outcome.false_alarms = as_it_was == MapFate::kHarmless ? 0 : 1;
  JudgeDetection(outcome);
  return outcome;
}

bool PatchIsRefused(const fs::path& path) {
  NoProgress progress;
  const auto reader = PatchReader::Open(path);
  return !reader || !VerifyPatch(*reader, nullptr, 1, progress);
}

Result<Outcome> CheckDamagedPatch(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  auto random = context.RandomOf("files.damaged_patch");
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("damaged_patch"));
  constexpr uint64_t kMaxPatchBytes = uint64_t{64} << 20;
  GS_ASSIGN(const std::string good, ReadWholeFile(sample->patch, kMaxPatchBytes));
  const fs::path path = folder / "damaged.sgdelta";
  Outcome outcome;
  outcome.sampled = sample->description;
  const uint64_t count = context.FaultsOf(20);
  context.progress().StartSteps("files.damaged_patch", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    std::string bad = good;
    const uint64_t place = random() % bad.size();
    const uint64_t length =
        i % 2 == 0 ? 1 : 1 + random() % std::min<uint64_t>(64, bad.size() - place);
    for (uint64_t k = 0; k < length; ++k) {
      bad[place + k] = static_cast<char>(bad[place + k] ^ (1u << (random() % 8)));
    }
    GS_TRY(WriteWholeFile(path, bad, Overwrite::kAllow));
    ++outcome.injected;
    if (PatchIsRefused(path)) {
      ++outcome.detected;
    } else {
      outcome.findings.push_back(
          Missed(fmt::format("a patch with {} other bytes at {} is accepted", length, place)));
    }
    outcome.false_alarms += PatchIsRefused(sample->patch) ? 1 : 0;
    ++outcome.clean;
  }
  JudgeDetection(outcome);
  return outcome;
}

// A file that is opened, and what opening it reads besides pages.
struct OpenedFile {
  std::string name;
  fs::path path;
  std::function<Result<void>()> open;
};

template <typename Opened>
Result<void> Forget(const Result<Opened>& opened) {
  if (opened) return {};
  return Fail(opened.error());
}

std::vector<OpenedFile> FilesToOpen(const SampleModel& sample, const CoreFile& core) {
  const auto open_core = [&core] {
    auto opened = CoreFile::Open(core.map_path(), Caching::kDirect);
    return opened ? opened->LoadIndex() : Forget(opened);
  };
  return {{"core", core.file().path(), open_core},
          {"map", core.map_path(), open_core},
          {"patch", sample.patch, [&sample] { return Forget(PatchReader::Open(sample.patch)); }},
          {"GGUF", sample.base_gguf, [&sample] { return Forget(OpenModel(sample.base_gguf)); }}};
}

// What a disk may do and still be read from; the last ends in an error.
enum class Hesitation : uint8_t { kShort, kInterrupted, kFailsTwice, kOpensLater, kFails };
constexpr uint64_t kHesitations = 5;

void SetUp(Hesitation hesitation, uint64_t place, FaultFileOperations& operations) {
  switch (hesitation) {
    case Hesitation::kShort:
      return operations.ShortenReads(0.8);
    case Hesitation::kInterrupted:
      return operations.InterruptReads(0.7);
    case Hesitation::kFailsTwice:
      return operations.FailReadsOf(place, 2);
    case Hesitation::kOpensLater:
      return operations.FailOpens(3, EINTR);
    case Hesitation::kFails:
      return operations.FailReadsOf(place, FaultFileOperations::kNever);
  }
}

void CountOpening(const OpenedFile& file, Hesitation hesitation, const Result<void>& opened,
                  Outcome& outcome) {
  const bool must_fail = hesitation == Hesitation::kFails;
  const bool named = !opened && opened.error().code() == ErrorCode::kIo &&
                     opened.error().file() == file.path.string();
  outcome.injected += must_fail ? 1 : 0;
  outcome.detected += must_fail && named ? 1 : 0;
  outcome.clean += must_fail ? 0 : 1;
  outcome.false_alarms += !must_fail && !opened ? 1 : 0;
  if (must_fail ? named : opened.has_value()) return;
  outcome.findings.push_back(Missed(fmt::format("{} on a hesitant disk ({}): {}", file.name,
                                                must_fail ? "always fails" : "fails now and then",
                                                opened ? "no error" : opened.error().ToString())));
}

// What is not a page is read as patiently as pages are.
Result<Outcome> CheckHesitantOpening(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  GS_ASSIGN(const CoreFile core, CoreFile::Open(sample->core));
  auto random = context.RandomOf("files.hesitant_disk");
  Outcome outcome;
  outcome.sampled = sample->description;
  uint64_t faults = 0;
  const auto files = FilesToOpen(*sample, core);
  const uint64_t count = std::max<uint64_t>(files.size() * kHesitations, context.FaultsOf(50));
  context.progress().StartSteps("files.hesitant_disk", count);
  for (uint64_t i = 0; i < count; ++i) {
    GS_TRY(CheckCancelled());
    context.progress().Advance(1);
    const OpenedFile& file = files[i % files.size()];
    const auto hesitation = static_cast<Hesitation>(i / files.size() % kHesitations);
    FaultFileOperations operations(random());
    GS_TRY(operations.SetTarget(file.path));
    // The first bytes are read of every file.
    SetUp(hesitation, random() % 8, operations);
    const ScopedFileOperations scope(operations);
    CountOpening(file, hesitation, file.open(), outcome);
    faults += operations.fault_count();
  }
  JudgeDetection(outcome);
  outcome.happened += fmt::format("; {} faults met while opening", faults);
  return outcome;
}

}  // namespace

void AddFileChaosChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kChaos;
  checks.push_back({"files.truncated", group,
                    "a core, map or patch that ends too early is refused when it is opened",
                    CheckTruncated});
  checks.push_back({"files.mutated_map", group,
                    "a map with another number, name, type or list is refused or found by "
                    "verification, unless it means the same",
                    CheckMutatedMap});
  checks.push_back({"files.hesitant_disk", group,
                    "short, interrupted and passing read errors while a core, map, patch or GGUF "
                    "is opened change nothing; lasting ones are an error that names the file",
                    CheckHesitantOpening});
  checks.push_back(
      {"files.damaged_patch", group, "every damaged byte of a patch is found", CheckDamagedPatch});
}

}  // namespace gguf_shard
