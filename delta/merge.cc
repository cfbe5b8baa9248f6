#include "delta/merge.h"

namespace gguf_shard {

Result<PatchStack> PatchStack::Open(const ModelView& base,
                                    const std::vector<std::filesystem::path>& patches,
                                    bool trust_digests, uint64_t cache_bytes) {
  if (patches.empty()) return Fail(ErrorCode::kInvalidArgument, "no patch was given");
  PatchStack stack;
  for (const auto& path : patches) {
    GS_ASSIGN(PatchReader opened, PatchReader::Open(path));
    auto reader = std::make_unique<PatchReader>(std::move(opened));
    const bool first = stack.views_.empty();
    if (first) {
      GS_TRY(CheckBase(reader->patch(), base, trust_digests));
    } else if (reader->patch().base_digest != stack.top_patch().patch().target_digest) {
      return Fail(Error(ErrorCode::kMismatch, "the patch does not follow the one before it")
                      .File(path.string())
                      .Expected("content " + ToHex(stack.top_patch().patch().target_digest))
                      .Found("content " + ToHex(reader->patch().base_digest)));
    }
    const ModelView& below = first ? base : *stack.views_.back();
    GS_ASSIGN(auto view, PatchedView::Create(*reader, below, cache_bytes));
    stack.readers_.push_back(std::move(reader));
    stack.views_.push_back(std::move(view));
  }
  return stack;
}

Result<CreateReport> MergePatches(const ModelView& base,
                                  const std::vector<std::filesystem::path>& patches,
                                  const std::filesystem::path& output, const CreateOptions& options,
                                  Progress& progress) {
  GS_ASSIGN(const PatchStack stack, PatchStack::Open(base, patches, options.trust_digests));
  return CreatePatch(base, stack.top(), output, options, progress);
}

}  // namespace gguf_shard
