#include "tests/forge/model_builder.h"

#include <algorithm>
#include <fstream>
#include <random>

#include "core/bytes.h"
#include "core/check.h"

namespace gguf_shard {

std::vector<std::byte> RandomBytes(uint64_t seed, size_t count) {
  std::mt19937_64 engine(seed);
  std::vector<std::byte> bytes(AlignUp(count, 8));
  for (size_t i = 0; i < bytes.size(); i += 8) StoreLe(bytes.data() + i, engine());
  bytes.resize(count);
  return bytes;
}

ModelBuilder::ModelBuilder(uint64_t alignment) : alignment_(alignment), writer_(alignment) {
  writer_.AddString("general.architecture", "llama");
  writer_.AddString("general.name", "built for a test");
}

ModelBuilder& ModelBuilder::Tensor(const std::string& name, TensorType type,
                                   std::vector<uint64_t> shape, uint64_t extra_gap_bytes) {
  const auto byte_size = TensorBytes(type, shape);
  GS_CHECK(byte_size.has_value());
  const uint64_t offset = AlignUp(end_ + extra_gap_bytes, alignment_);
  writer_.AddTensor(name, type, shape, offset);
  places_.push_back({offset, *byte_size});
  end_ = offset + *byte_size;
  return *this;
}

ModelBuilder& ModelBuilder::DirtyGaps() {
  dirty_gaps_ = true;
  return *this;
}

ModelBuilder& ModelBuilder::Trailing(uint64_t byte_size, bool dirty) {
  trailing_bytes_ = byte_size;
  dirty_trailing_ = dirty;
  return *this;
}

std::vector<std::byte> ModelBuilder::Build() const {
  std::vector<std::byte> bytes = writer_.Serialize();
  const size_t data_offset = bytes.size();
  bytes.resize(data_offset + end_, dirty_gaps_ ? std::byte{0xA5} : std::byte{0});
  uint64_t seed = 1;
  for (const Place& place : places_) {
    const auto content = RandomBytes(seed++, place.byte_size);
    std::copy(content.begin(), content.end(),
              bytes.begin() + static_cast<ptrdiff_t>(data_offset + place.offset));
  }
  const auto trailing = dirty_trailing_ ? RandomBytes(seed, trailing_bytes_)
                                        : std::vector<std::byte>(trailing_bytes_);
  bytes.insert(bytes.end(), trailing.begin(), trailing.end());
  return bytes;
}

void ModelBuilder::Write(const std::filesystem::path& path) const { WriteBytes(path, Build()); }

void WriteBytes(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  GS_CHECK(file.good());
}

std::vector<std::byte> ReadBytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  GS_CHECK(file.good());
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  GS_CHECK(file.good());
  return bytes;
}

}  // namespace gguf_shard
