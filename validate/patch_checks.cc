// Patches: there and back again, one made of two, and the user's own.
#include <fmt/format.h>

#include "delta/apply.h"
#include "delta/in_place.h"
#include "delta/merge.h"
#include "delta/report.h"
#include "validate/check_list.h"
#include "validate/context.h"
#include "validate/core_actions.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

// Applies in place, checks what came out, undoes, and compares with what was there.
Result<Outcome> ThereAndBack(const fs::path& map, const std::vector<fs::path>& patches,
                             Progress& progress) {
  GS_ASSIGN(const fs::path core_path, [&]() -> Result<fs::path> {
    GS_ASSIGN(const CoreFile core, CoreFile::Open(map));
    return core.file().path();
  }());
  GS_ASSIGN(const Sha256Digest before, DigestOf(core_path));
  GS_ASSIGN(const Sha256Digest map_before, DigestOf(map));
  for (const fs::path& patch : patches) {
    GS_TRY(PatchInPlace(map, patch, progress));
    GS_ASSIGN(const bool intact, IsIntact(map, progress));
    if (!intact) return Broken("a patched core is not intact: " + patch.string());
  }
  for (size_t i = 0; i < patches.size(); ++i) GS_TRY(UndoInPlace(map, progress));
  GS_ASSIGN(const Sha256Digest after, DigestOf(core_path));
  GS_ASSIGN(const Sha256Digest map_after, DigestOf(map));
  if (after != before || map_after != map_before) return Broken("undo gave other bytes");
  Outcome outcome =
      Passed(fmt::format("{} patches applied in place, proven, and undone: core and "
                         "map have their SHA-256 again",
                         patches.size()));
  outcome.clean = patches.size();
  return outcome;
}

Result<Outcome> CheckRoundTrip(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("round_trip"));
  GS_ASSIGN(const CoreFile core, CoreFile::Open(sample->core));
  GS_ASSIGN(const fs::path map, CopyCore(core, folder));
  NoProgress progress;  // the sample is small
  GS_ASSIGN(Outcome outcome, ThereAndBack(map, {sample->patch, sample->second_patch}, progress));
  outcome.sampled = sample->description;
  return outcome;
}

Result<Outcome> CheckMerge(ValidationContext& context) {
  GS_ASSIGN(const SampleModel* sample, context.sample());
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("merge"));
  NoProgress progress;  // the sample is small
  GS_ASSIGN(const OpenedModel base, OpenModel(sample->base_gguf));
  const fs::path merged = folder / "merged.sgdelta";
  GS_TRY(MergePatches(*base.view, {sample->patch, sample->second_patch}, merged, CreateOptions(),
                      progress));
  GS_ASSIGN(const PatchReader reader, PatchReader::Open(merged));
  GS_ASSIGN(const auto view, PatchedView::Create(reader, *base.view));
  const fs::path output = folder / "merged.gguf";
  GS_TRY(ApplyToGguf(reader, *view, output, ApplyOptions(), progress));
  GS_ASSIGN(const Sha256Digest expected, DigestOf(sample->base_gguf));
  GS_ASSIGN(const Sha256Digest found, DigestOf(output));
  if (expected != found) return Broken("there and back as one patch does not give the base again");
  Outcome outcome = Passed("a patch and its way back, merged and applied, give the base's SHA-256");
  outcome.sampled = sample->description;
  outcome.clean = 1;
  return outcome;
}

// The patches decode over this core, frame by frame, to targets with the SHA-256 that they promise.
Result<Outcome> CheckUserPatches(ValidationContext& context) {
  const auto& patches = context.options().patches;
  if (patches.empty()) return Skipped("no --patch was given");
  GS_ASSIGN(const CoreFile core, CoreFile::Open(context.options().map_path));
  GS_ASSIGN(const auto base, ViewCore(core));
  GS_ASSIGN(const PatchStack stack, PatchStack::Open(*base, patches, true));
  GS_TRY(ProveTarget(stack.top_patch(), stack.top(), 0, context.byte_progress()));
  Outcome outcome = Passed(
      fmt::format("{} patches belong to this core; the target has the SHA-256 that was promised",
                  patches.size()));
  outcome.clean = patches.size();
  if (!context.options().full) return outcome;
  GS_ASSIGN(const fs::path folder, context.ScratchFolder("user_patch"));
  GS_ASSIGN(const fs::path map, CopyCore(core, folder));
  GS_ASSIGN(Outcome there_and_back, ThereAndBack(map, patches, context.byte_progress()));
  there_and_back.happened = outcome.happened + "; " + there_and_back.happened;
  return there_and_back;
}

}  // namespace

void AddPatchChecks(std::vector<Check>& checks) {
  const auto group = CheckGroup::kIntegrity;
  checks.push_back({"patch.given", group,
                    "the given patches belong to the core and give the target that they promise",
                    CheckUserPatches});
  checks.push_back({"patch.round_trip", group,
                    "a patch applied in place gives an intact core; undo gives back every byte",
                    CheckRoundTrip});
  checks.push_back(
      {"patch.merge", group, "two patches merged are the same as one after the other", CheckMerge});
}

}  // namespace gguf_shard
