#include "delta/create.h"

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "core/check.h"
#include "delta/source_stream.h"
#include "delta/tensor_diff.h"

namespace gguf_shard {
namespace {

class PatchCreator {
 public:
  PatchCreator(const ModelView& base, const ModelView& target, const CreateOptions& options,
               PatchWriter& writer, TargetHasher& hasher, Progress& progress)
      : base_(base),
        target_(target),
        options_(options),
        frames_(writer, options.level, ThreadCountOr(options.thread_count)),
        differ_(base, target, frames_, hasher, options.level != DeltaLevel::kFast, progress),
        progress_(progress),
        base_used_(base.tensors().size(), false),
        base_digests_(base.tensors().size()),
        target_digests_(target.tensors().size()) {}

  Result<Patch> Create(CreateReport& report) {
    Patch patch;
    patch.level = options_.level;
    MatchByName();
    GS_TRY(AddFiles(patch));
    for (uint32_t i = 0; i < target_.tensors().size(); ++i) GS_TRY(AddTensor(i, patch, report));
    GS_TRY(frames_.Flush());
    for (uint32_t i = 0; i < base_.tensors().size(); ++i) {
      if (base_used_[i]) continue;
      patch.deleted.push_back(base_.tensors()[i].name);
      ++report.deleted_tensors;
    }
    return AddDigests(std::move(patch));
  }

 private:
  void MatchByName() {
    for (const ViewTensor& tensor : target_.tensors()) {
      const auto found = base_.FindTensor(tensor.name);
      if (found) base_used_[*found] = true;
    }
  }

  Result<void> AddFiles(Patch& patch) {
    std::vector<std::byte> reference;
    for (const ViewFile& file : base_.files()) {
      patch.base_files.push_back({file.name, file.byte_size});
      reference.insert(reference.end(), file.header.bytes().begin(), file.header.bytes().end());
    }
    for (uint32_t i = 0; i < target_.files().size(); ++i) {
      const ViewFile& file = target_.files()[i];
      PatchFile entry;
      entry.name = file.name;
      entry.byte_size = file.byte_size;
      entry.header_bytes = file.header.bytes().size();
      if (entry.header_bytes > kMaxPatchHeaderBytes) {
        return Fail(Error(ErrorCode::kTooLarge, "a source header is above the limit of a patch")
                        .File(file.name)
                        .Expected(kMaxPatchHeaderBytes)
                        .Found(entry.header_bytes));
      }
      GS_ASSIGN(entry.header_frame, frames_.AddHeader(file.header.bytes(), reference));
      for (const ViewGap& gap : file.gaps) GS_TRY(AddGap(i, gap, entry));
      patch.files.push_back(std::move(entry));
    }
    return {};
  }

  Result<void> AddGap(uint32_t file_index, const ViewGap& gap, PatchFile& entry) {
    for (uint64_t inside = 0; inside < gap.byte_size; inside += kMaxFrameTargetBytes) {
      std::vector<std::byte> bytes(std::min(kMaxFrameTargetBytes, gap.byte_size - inside));
      GS_TRY(target_.ReadGap(file_index, gap, inside, bytes));
      GS_ASSIGN(const uint32_t frame, frames_.AddAlone(bytes));
      entry.gaps.push_back({gap.offset + inside, bytes.size(), frame});
    }
    return {};
  }

  // What predicts a target tensor: its namesake; else an equal base tensor under another name; else
  // a base tensor of the same type and shape that nobody else is made from.
  Result<std::optional<uint32_t>> FindBase(uint32_t target_index) {
    const ViewTensor& tensor = target_.tensors()[target_index];
    if (const auto namesake = base_.FindTensor(tensor.name)) return namesake;
    std::optional<uint32_t> alike;
    for (uint32_t i = 0; i < base_.tensors().size(); ++i) {
      const ViewTensor& candidate = base_.tensors()[i];
      if (candidate.type != tensor.type || candidate.byte_size != tensor.byte_size) continue;
      GS_ASSIGN(const bool equal, DigestsEqual(target_index, i));
      if (equal) return i;
      if (!alike && !base_used_[i] && candidate.shape == tensor.shape) alike = i;
    }
    return alike;
  }

  Result<bool> DigestsEqual(uint32_t target_index, uint32_t base_index) {
    GS_ASSIGN(const auto target_digest, DigestOf(target_, target_index, target_digests_));
    GS_ASSIGN(const auto base_digest, DigestOf(base_, base_index, base_digests_));
    return target_digest == base_digest;
  }

  // Computed once; taken from the map when that is trusted.
  Result<Xxh128Digest> DigestOf(const ModelView& view, uint32_t index,
                                std::vector<std::optional<Xxh128Digest>>& known) const {
    if (!known[index] && options_.trust_digests) known[index] = view.tensors()[index].digest;
    if (!known[index]) {
      GS_ASSIGN(known[index], TensorDigest(view, index));
    }
    return *known[index];
  }

  bool IsTrustedEqual(uint32_t target_index, uint32_t base_index) {
    const ViewTensor& target = target_.tensors()[target_index];
    const ViewTensor& base = base_.tensors()[base_index];
    if (!options_.trust_digests || !target.digest || target.digest != base.digest ||
        target.type != base.type || target.byte_size != base.byte_size) {
      return false;
    }
    target_digests_[target_index] = target.digest;
    base_digests_[base_index] = base.digest;
    progress_.Advance(target.byte_size);
    return true;
  }

  Result<void> AddTensor(uint32_t index, Patch& patch, CreateReport& report) {
    const ViewTensor& tensor = target_.tensors()[index];
    GS_ASSIGN(const std::optional<uint32_t> base_index, FindBase(index));
    PatchTensor entry{tensor.name, std::nullopt, {}};
    bool same_type = false;
    if (base_index) {
      const ViewTensor& base = base_.tensors()[*base_index];
      same_type = base.type == tensor.type && base.byte_size == tensor.byte_size;
      entry.base_name = base.name;
    }
    if (base_index && IsTrustedEqual(index, *base_index)) {
      if (tensor.byte_size != 0) entry.spans = {{tensor.byte_size, 0, std::nullopt}};
    } else {
      GS_ASSIGN(TensorDiffer::Outcome outcome, differ_.Diff(index, base_index));
      entry.spans = std::move(outcome.spans);
      target_digests_[index] = outcome.target_digest;
      if (outcome.base_digest) base_digests_[*base_index] = outcome.base_digest;
    }
    const bool whole = tensor.byte_size == 0 ? same_type
                                             : entry.spans.size() == 1 && !entry.spans[0].frame &&
                                                   entry.spans[0].base_offset == 0 && same_type;
    if (whole && entry.base_name == tensor.name) {
      ++report.kept_tensors;
      return {};
    }
    (entry.base_name == tensor.name ? report.changed_tensors : report.added_tensors) += 1;
    patch.tensors.push_back(std::move(entry));
    return {};
  }

  // Digests of what was not read on the way.
  Result<Patch> AddDigests(Patch patch) {
    std::vector<Xxh128Digest> base_digests;
    for (uint32_t i = 0; i < base_.tensors().size(); ++i) {
      GS_ASSIGN(const Xxh128Digest digest, DigestOf(base_, i, base_digests_));
      base_digests.push_back(digest);
    }
    std::vector<Xxh128Digest> target_digests;
    for (const auto& digest : target_digests_) target_digests.push_back(*digest);
    GS_ASSIGN(patch.base_digest, ContentDigestFrom(base_, base_digests));
    GS_ASSIGN(patch.target_digest, ContentDigestFrom(target_, target_digests));
    return patch;
  }

  const ModelView& base_;
  const ModelView& target_;
  const CreateOptions& options_;
  FrameBuilder frames_;
  TensorDiffer differ_;
  Progress& progress_;
  std::vector<bool> base_used_;
  std::vector<std::optional<Xxh128Digest>> base_digests_;
  std::vector<std::optional<Xxh128Digest>> target_digests_;
};

}  // namespace

uint32_t ThreadCountOr(uint32_t count) {
  return count != 0 ? count : std::max(1u, std::thread::hardware_concurrency());
}

Result<CreateReport> CreatePatch(const ModelView& base, const ModelView& target,
                                 const std::filesystem::path& patch_path,
                                 const CreateOptions& options, Progress& progress) {
  GS_ASSIGN(PatchWriter writer, PatchWriter::Create(patch_path, options.overwrite));
  CreateReport report;
  report.target_bytes = target.total_bytes();
  progress.Start("comparing", report.target_bytes);
  GS_ASSIGN(const auto hasher, TargetHasher::Create(target));
  PatchCreator creator(base, target, options, writer, *hasher, progress);
  GS_ASSIGN(Patch patch, creator.Create(report));
  GS_ASSIGN(const std::vector<Sha256Digest> digests, hasher->Finish());
  for (size_t i = 0; i < digests.size(); ++i) patch.files[i].sha256 = digests[i];
  GS_ASSIGN(report.patch_bytes, writer.Finish(std::move(patch)));
  progress.Finish();
  return report;
}

}  // namespace gguf_shard
