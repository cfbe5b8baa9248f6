#include "delta/model_view.h"

#include <algorithm>
#include <array>

#include "core/bytes.h"
#include "core/cancel.h"
#include "core/check.h"
#include "delta/create.h"
#include "delta/task_group.h"

namespace gguf_shard {
namespace {
constexpr uint64_t kDigestChunkBytes = uint64_t{1} << 20;
}

std::optional<uint32_t> ModelView::FindTensor(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

uint64_t ModelView::total_bytes() const {
  uint64_t total = 0;
  for (const ViewFile& file : files_) total += file.byte_size;
  return total;
}

Result<void> ModelView::SetFiles(std::vector<ViewFile> files) {
  files_ = std::move(files);
  for (uint32_t i = 0; i < files_.size(); ++i) {
    const GgufHeader& header = files_[i].header;
    const size_t first = tensors_.size();
    for (const GgufTensor& tensor : header.tensors) {
      tensors_.push_back({tensor.name, tensor.type, tensor.shape, i,
                          header.data_offset + tensor.data_offset, tensor.byte_size, std::nullopt});
    }
    std::stable_sort(tensors_.begin() + static_cast<ptrdiff_t>(first), tensors_.end(),
                     [](const auto& a, const auto& b) { return a.offset < b.offset; });
  }
  for (uint32_t i = 0; i < tensors_.size(); ++i) {
    if (!index_.emplace(tensors_[i].name, i).second) {
      return Fail(
          Error(ErrorCode::kMalformed, "a tensor appears in two files").Tensor(tensors_[i].name));
    }
  }
  return {};
}

Result<OpenedModel> OpenModel(const std::filesystem::path& path) {
  OpenedModel model;
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    GS_ASSIGN(const File file, File::OpenRead(path));
    std::array<std::byte, 4> magic{};
    if (file.size_bytes() >= magic.size()) GS_TRY(file.ReadAt(0, magic));
    if (AsText(magic) == "GGUF") {
      GS_ASSIGN(model.view, ViewGguf(path));
      return model;
    }
  }
  GS_ASSIGN(CoreFile core, CoreFile::Open(path));
  model.core = std::make_unique<CoreFile>(std::move(core));
  GS_ASSIGN(model.view, ViewCore(*model.core));
  return model;
}

Result<Xxh128Digest> TensorDigest(const ModelView& view, uint32_t tensor_index) {
  Xxh128Hasher hasher;
  const uint64_t byte_size = view.tensors()[tensor_index].byte_size;
  std::vector<std::byte> buffer(std::min(byte_size, kDigestChunkBytes));
  for (uint64_t offset = 0; offset < byte_size; offset += kDigestChunkBytes) {
    const auto chunk = std::span(buffer).first(std::min(byte_size - offset, kDigestChunkBytes));
    GS_TRY(view.ReadTensor(tensor_index, offset, chunk));
    hasher.Update(chunk);
  }
  return hasher.Finish();
}

Result<Xxh128Digest> ContentDigestFrom(const ModelView& view,
                                       std::span<const Xxh128Digest> tensor_digests) {
  GS_CHECK(tensor_digests.size() == view.tensors().size());
  Xxh128Hasher hasher;
  for (const ViewFile& file : view.files()) hasher.Update(file.header.bytes());
  for (const Xxh128Digest& digest : tensor_digests) hasher.Update(digest);
  std::vector<std::byte> buffer(kDigestChunkBytes);
  for (uint32_t i = 0; i < view.files().size(); ++i) {
    for (const ViewGap& gap : view.files()[i].gaps) {
      for (uint64_t offset = 0; offset < gap.byte_size; offset += kDigestChunkBytes) {
        const auto chunk =
            std::span(buffer).first(std::min(gap.byte_size - offset, kDigestChunkBytes));
        GS_TRY(view.ReadGap(i, gap, offset, chunk));
        hasher.Update(chunk);
      }
    }
  }
  return hasher.Finish();
}

Result<Xxh128Digest> ContentDigest(const ModelView& view, bool trust_digests,
                                   uint32_t thread_count) {
  std::vector<Xxh128Digest> digests(view.tensors().size());
  TaskGroup tasks(ThreadCountOr(thread_count));
  for (uint32_t i = 0; i < digests.size(); ++i) {
    const auto& known = view.tensors()[i].digest;
    if (trust_digests && known) {
      digests[i] = *known;
      continue;
    }
    const auto digest = [&view, &digests, i]() -> Result<void> {
      GS_TRY(CheckCancelled());
      GS_ASSIGN(digests[i], TensorDigest(view, i));
      return {};
    };
    GS_TRY(tasks.Submit(digest));
  }
  GS_TRY(tasks.Wait());
  return ContentDigestFrom(view, digests);
}

}  // namespace gguf_shard
