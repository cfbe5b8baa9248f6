#include "tests/forge/core_damage.h"

#include <fstream>

#include "core/check.h"
#include "core/core_file.h"

namespace gguf_shard {
namespace {

std::vector<std::byte> PageBytes(const std::filesystem::path& path, uint64_t offset) {
  const auto file = File::OpenRead(path);
  GS_CHECK(file.has_value());
  std::vector<std::byte> page(kPageBytes);
  GS_CHECK(file->ReadAt(offset, page).has_value());
  return page;
}

void PutPageBytes(const std::filesystem::path& path, uint64_t offset,
                  const std::vector<std::byte>& page) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(reinterpret_cast<const char*>(page.data()), static_cast<std::streamsize>(page.size()));
  file.close();
  GS_CHECK(file.good());
}

}  // namespace

ShardedModel::ShardedModel() {
  ModelBuilder()
      .Tensor("output.weight", TensorType::kQ6_K, {512, 40})
      .Tensor("blk.0.attn_q.weight", TensorType::kQ4_K, {512, 100})
      .Tensor("blk.0.attn_norm.weight", TensorType::kF32, {512})
      .Tensor("token_embd.weight", TensorType::kQ8_0, {512, 40})
      .Trailing(5000)
      .Write(source_path());
  ShardOptions options;
  options.output_directory = temporary_ / "out";
  options.core_id = CoreId{std::byte{1}, std::byte{2}};
  NoProgress progress;
  auto report = ShardModel(source_path(), options, progress);
  GS_CHECK(report.has_value());
  report_ = *std::move(report);
}

const MapTensor& ShardedModel::tensor(std::string_view name) const {
  const MapTensor* found = map().FindTensor(name);
  GS_CHECK(found != nullptr);
  return *found;
}

uint64_t ShardedModel::page_offset(uint64_t page) const {
  return map().core.data_offset + page * kPageBytes;
}

void ShardedModel::FlipByte(uint64_t page, uint64_t byte_in_page) const {
  auto bytes = PageBytes(core_path(), page_offset(page));
  bytes[byte_in_page] = ~bytes[byte_in_page];
  PutPageBytes(core_path(), page_offset(page), bytes);
}

void ShardedModel::CopyPage(uint64_t from_page, uint64_t to_page) const {
  PutPageBytes(core_path(), page_offset(to_page), PageBytes(core_path(), page_offset(from_page)));
}

void ShardedModel::WriteStalePage(uint64_t page) const {
  auto bytes = PageBytes(core_path(), page_offset(page));
  bytes[100] = ~bytes[100];
  SealPage(map().core.id, page, PageAt(bytes.data(), 0));
  PutPageBytes(core_path(), page_offset(page), bytes);
}

void ShardedModel::EditMapAlone(const std::function<void(nlohmann::json&)>& edit) const {
  const auto text = ReadWholeFile(map_path(), kMaxMapBytes);
  GS_CHECK(text.has_value());
  auto document = nlohmann::json::parse(*text);
  edit(document);
  GS_CHECK(WriteWholeFile(map_path(), document.dump(), Overwrite::kAllow).has_value());
}

void ShardedModel::EditMap(const std::function<void(nlohmann::json&)>& edit) const {
  EditMapAlone(edit);
  const auto map = ParseMap(*ReadWholeFile(map_path(), kMaxMapBytes));
  if (!map) return;
  const std::vector<std::byte> header = SerializeCoreHeader(*map);
  GS_CHECK(header.size() == map->core.data_offset);
  PutPageBytes(core_path(), 0, header);
}

}  // namespace gguf_shard
