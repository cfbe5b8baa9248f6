// A core as a ModelView: source bytes unpacked from pages, every page's tag checked.
#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "delta/model_view.h"

namespace gguf_shard {
namespace {

// Units read at once: enough to keep the disk busy, bounded when strips are large.
constexpr uint64_t kMaxReadPages = 256;

class CoreView final : public ModelView {
 public:
  explicit CoreView(const CoreFile& core) : core_(core) {}

  Result<void> Init() {
    std::vector<ViewFile> files;
    for (uint32_t i = 0; i < core_.map().source.files.size(); ++i) {
      const MapSourceFile& source = core_.map().source.files[i];
      ViewFile file;
      file.name = source.name;
      file.byte_size = source.byte_size;
      GS_ASSIGN(file.header, core_.ReadSourceHeader(i));
      for (const MapGap& gap : source.gaps) file.gaps.push_back({gap.source_offset, gap.byte_size});
      file.sha256 = source.sha256;
      files.push_back(std::move(file));
    }
    GS_TRY(SetFiles(std::move(files)));
    for (ViewTensor& tensor : tensors_) GS_TRY(Bind(tensor));
    return {};
  }

  Result<void> ReadTensor(uint32_t tensor_index, uint64_t offset,
                          std::span<std::byte> target) const override {
    GS_CHECK(offset + target.size() <= tensors_[tensor_index].byte_size);
    const MapTensor& tensor = *map_tensors_[tensor_index];
    while (!target.empty()) {
      GS_ASSIGN(const uint64_t done, ReadUnits(tensor, offset, target));
      offset += done;
      target = target.subspan(done);
    }
    return {};
  }

  Result<void> ReadGap(uint32_t file_index, const ViewGap& gap, uint64_t offset,
                       std::span<std::byte> target) const override {
    for (const MapGap& entry : core_.map().source.files[file_index].gaps) {
      if (entry.source_offset == gap.offset) return ReadContent(entry.pages, offset, target);
    }
    return Fail(ErrorCode::kNotFound, "the core has no such gap");
  }

 private:
  // The map's tensor must be what the source header says: the header is what delta works on.
  Result<void> Bind(ViewTensor& tensor) {
    const MapTensor* found = core_.map().FindTensor(tensor.name);
    if (found == nullptr || found->layout.type != tensor.type || found->shape != tensor.shape ||
        found->source_file != tensor.file_index || found->source_offset != tensor.offset ||
        found->source_bytes != tensor.byte_size) {
      return Fail(Error(ErrorCode::kMismatch, "the map does not list the source header's tensor")
                      .Tensor(tensor.name));
    }
    tensor.digest = found->digest;
    map_tensors_.push_back(found);
    return {};
  }

  // Reads whole pack units from the one that holds `offset` on, and copies what was asked for.
  // Returns how many bytes of `target` were filled.
  Result<uint64_t> ReadUnits(const MapTensor& tensor, uint64_t offset,
                             std::span<std::byte> target) const {
    uint64_t unit_index = PackUnitOfSourceByte(tensor.layout, offset);
    const uint64_t unit_count = PackUnitCount(tensor.layout);
    std::vector<PackUnit> units;
    uint64_t page_count = 0;
    for (; unit_index < unit_count; ++unit_index) {
      const PackUnit unit = GetPackUnit(tensor.layout, unit_index);
      if (unit.source_offset >= offset + target.size()) break;
      if (!units.empty() &&
          (page_count + unit.page_count > kMaxReadPages ||
           unit.first_page != units.back().first_page + units.back().page_count)) {
        break;
      }
      units.push_back(unit);
      page_count += unit.page_count;
    }
    std::vector<std::byte> pages(page_count * kPageBytes);
    GS_TRY(core_.ReadPages(tensor.first_page + units.front().first_page, pages));
    uint64_t end = offset;
    const std::byte* unit_pages = pages.data();
    for (const PackUnit& unit : units) {
      CopyUnit(tensor.layout, unit, {unit_pages, unit.page_count * kPageBytes}, offset, target);
      unit_pages += unit.page_count * kPageBytes;
      end = std::min(unit.source_offset + unit.source_bytes, offset + target.size());
    }
    return end - offset;
  }

  static void CopyUnit(const TensorLayout& layout, const PackUnit& unit,
                       std::span<const std::byte> pages, uint64_t offset,
                       std::span<std::byte> target) {
    if (unit.source_offset >= offset &&
        unit.source_offset + unit.source_bytes <= offset + target.size()) {
      UnpackPages(layout, unit, pages,
                  target.subspan(unit.source_offset - offset, unit.source_bytes));
      return;
    }
    std::vector<std::byte> whole(unit.source_bytes);
    UnpackPages(layout, unit, pages, whole);
    const uint64_t first = std::max(offset, unit.source_offset);
    const uint64_t end = std::min(offset + target.size(), unit.source_offset + unit.source_bytes);
    std::memcpy(target.data() + (first - offset), whole.data() + (first - unit.source_offset),
                end - first);
  }

  // Plain bytes, 4088 to a page.
  Result<void> ReadContent(PageRange pages, uint64_t offset, std::span<std::byte> target) const {
    std::vector<std::byte> page(kPageBytes);
    while (!target.empty()) {
      const uint64_t in_page = offset % kPageContentBytes;
      const uint64_t count = std::min<uint64_t>(kPageContentBytes - in_page, target.size());
      GS_CHECK(offset / kPageContentBytes < pages.page_count);
      GS_TRY(core_.ReadPages(pages.first_page + offset / kPageContentBytes, page));
      std::memcpy(target.data(), page.data() + in_page, count);
      offset += count;
      target = target.subspan(count);
    }
    return {};
  }

  const CoreFile& core_;
  std::vector<const MapTensor*> map_tensors_;  // by index into tensors_
};

}  // namespace

Result<std::unique_ptr<ModelView>> ViewCore(const CoreFile& core) {
  auto view = std::make_unique<CoreView>(core);
  GS_TRY(view->Init());
  return view;
}

}  // namespace gguf_shard
