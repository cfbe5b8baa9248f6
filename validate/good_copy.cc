#include "validate/good_copy.h"

#include <algorithm>
#include <cstring>

#include "validate/remote_view.h"

namespace gguf_shard {

Result<std::unique_ptr<GoodCopy>> GoodCopy::Open(const std::string& from,
                                                 const std::vector<std::filesystem::path>& patches,
                                                 const CoreMap& map) {
  std::unique_ptr<GoodCopy> copy(new GoodCopy());
  if (IsAddress(from)) {
    GS_ASSIGN(copy->model_.view, ViewRemoteGguf(from, map.source));
  } else {
    GS_ASSIGN(copy->model_, OpenModel(from));
  }
  if (!patches.empty()) {
    GS_ASSIGN(PatchStack stack, PatchStack::Open(*copy->model_.view, patches, true));
    copy->stack_ = std::make_unique<PatchStack>(std::move(stack));
  }
  copy->plan_.map = map;
  GS_TRY(copy->MatchTensors());
  copy->pages_ = std::make_unique<PatchedPages>(copy->view(), copy->plan_);
  return copy;
}

const ModelView& GoodCopy::view() const {
  if (stack_) return stack_->top();
  return *model_.view;
}

Result<void> GoodCopy::MatchTensors() {
  const ModelView& view = this->view();
  const auto Refuse = [](Error error) { return Fail(std::move(error)); };
  const auto& files = plan_.map.source.files;
  if (view.files().size() != files.size()) {
    return Refuse(Error(ErrorCode::kMismatch, "the copy has another number of files")
                      .Expected(std::to_string(files.size()))
                      .Found(std::to_string(view.files().size())));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    const ViewFile& file = view.files()[i];
    if (file.header.bytes().size() != files[i].header_bytes ||
        file.gaps.size() != files[i].gaps.size()) {
      return Refuse(Error(ErrorCode::kMismatch, "the copy has another header than the source had")
                        .File(file.name)
                        .Expected(std::to_string(files[i].header_bytes))
                        .Found(std::to_string(file.header.bytes().size())));
    }
    for (size_t gap = 0; gap < file.gaps.size(); ++gap) {
      if (file.gaps[gap].byte_size == files[i].gaps[gap].byte_size) continue;
      return Refuse(Error(ErrorCode::kMismatch, "the copy has other bytes between its tensors")
                        .File(file.name));
    }
  }
  for (const MapTensor& tensor : plan_.map.tensors) {
    const auto index = view.FindTensor(tensor.name);
    if (!index || view.tensors()[*index].type != tensor.layout.type ||
        view.tensors()[*index].shape != tensor.shape) {
      return Refuse(
          Error(ErrorCode::kMismatch, "the copy has no such tensor of this type and shape")
              .Tensor(tensor.name));
    }
    plan_.view_tensor.push_back(*index);
    plan_.in_place.push_back(false);
  }
  return {};
}

// A core with the same tags holds the page as it was, whatever it belongs to.
bool GoodCopy::ReadStoredPage(uint64_t page_index, std::span<std::byte, kPageBytes> page) const {
  if (!model_.core || stack_) return false;
  const MapCore& wanted = plan_.map.core;
  const MapCore& stored = model_.core->map().core;
  if (wanted.id != stored.id || page_index >= stored.page_count) return false;
  return model_.core->ReadPages(page_index, page).has_value();
}

Result<void> GoodCopy::ReadPage(uint64_t page_index, std::span<std::byte, kPageBytes> page) const {
  if (ReadStoredPage(page_index, page)) return {};
  if (page_index < unit_.first_page || page_index >= unit_.end_page()) {
    unit_ = {page_index, 1};
    const auto& tensors = plan_.map.tensors;
    const auto owner = std::find_if(tensors.begin(), tensors.end(), [&](const MapTensor& tensor) {
      return page_index >= tensor.first_page && page_index < tensor.pages().end_page();
    });
    if (owner != tensors.end()) {
      const uint64_t page_of_tensor = page_index - owner->first_page;
      const PackUnit unit =
          GetPackUnit(owner->layout, PackUnitOfPage(owner->layout, page_of_tensor));
      unit_ = {owner->first_page + unit.first_page, unit.page_count};
    }
    unit_pages_.resize(unit_.page_count * kPageBytes);
    auto filled = pages_->Read(unit_.first_page, unit_pages_);
    if (!filled) {
      unit_ = {};
      return filled;
    }
  }
  std::memcpy(page.data(), unit_pages_.data() + (page_index - unit_.first_page) * kPageBytes,
              kPageBytes);
  return {};
}

}  // namespace gguf_shard
