// A plain or split GGUF as a ModelView.
#include <algorithm>

#include "core/check.h"
#include "delta/model_view.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kScanBytes = uint64_t{1} << 20;

Result<bool> IsZero(const File& file, uint64_t offset, uint64_t byte_size) {
  std::vector<std::byte> buffer(std::min(byte_size, kScanBytes));
  for (uint64_t done = 0; done < byte_size; done += kScanBytes) {
    const auto chunk = std::span(buffer).first(std::min(byte_size - done, kScanBytes));
    GS_TRY(file.ReadAt(offset + done, chunk));
    if (std::any_of(chunk.begin(), chunk.end(), [](std::byte b) { return b != std::byte{0}; })) {
      return false;
    }
  }
  return true;
}

// The ranges between header, tensors and end that hold anything but zeros.
Result<std::vector<ViewGap>> FindGaps(const GgufPart& part) {
  std::vector<std::pair<uint64_t, uint64_t>> used;  // offset, end
  for (const GgufTensor& tensor : part.header.tensors) {
    const uint64_t offset = part.header.data_offset + tensor.data_offset;
    used.emplace_back(offset, offset + tensor.byte_size);
  }
  std::sort(used.begin(), used.end());
  used.emplace_back(part.file.size_bytes(), part.file.size_bytes());
  std::vector<ViewGap> gaps;
  uint64_t position = std::min(part.header.data_offset, part.file.size_bytes());
  for (const auto& [offset, end] : used) {
    if (offset > position) {
      GS_ASSIGN(const bool zero, IsZero(part.file, position, offset - position));
      if (!zero) gaps.push_back({position, offset - position});
    }
    position = std::max(position, end);
  }
  return gaps;
}

class GgufView final : public ModelView {
 public:
  explicit GgufView(std::vector<File> part_files) : part_files_(std::move(part_files)) {}

  Result<void> Init(std::vector<ViewFile> files) { return SetFiles(std::move(files)); }

  Result<void> ReadTensor(uint32_t tensor_index, uint64_t offset,
                          std::span<std::byte> target) const override {
    const ViewTensor& tensor = tensors_[tensor_index];
    GS_CHECK(offset + target.size() <= tensor.byte_size);
    return part_files_[tensor.file_index].ReadAt(tensor.offset + offset, target);
  }

  Result<void> ReadGap(uint32_t file_index, const ViewGap& gap, uint64_t offset,
                       std::span<std::byte> target) const override {
    GS_CHECK(offset + target.size() <= gap.byte_size);
    return part_files_[file_index].ReadAt(gap.offset + offset, target);
  }

  std::optional<FileExtent> FindExtent(uint32_t tensor_index, uint64_t offset,
                                       uint64_t) const override {
    const ViewTensor& tensor = tensors_[tensor_index];
    return FileExtent{&part_files_[tensor.file_index], tensor.offset + offset};
  }

 private:
  std::vector<File> part_files_;
};

}  // namespace

Result<std::unique_ptr<ModelView>> ViewGguf(const std::filesystem::path& path) {
  GS_ASSIGN(GgufModel model, OpenGgufModel(path));
  std::vector<ViewFile> files;
  std::vector<File> part_files;
  for (GgufPart& part : model.parts) {
    part.file.AdviseSequential();
    ViewFile file;
    file.name = part.path.filename().string();
    file.byte_size = part.file.size_bytes();
    GS_ASSIGN(file.gaps, FindGaps(part));
    file.header = std::move(part.header);
    files.push_back(std::move(file));
    part_files.push_back(std::move(part.file));
  }
  auto view = std::make_unique<GgufView>(std::move(part_files));
  GS_TRY(view->Init(std::move(files)));
  return view;
}

}  // namespace gguf_shard
