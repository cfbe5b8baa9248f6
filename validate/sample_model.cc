#include "validate/sample_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <span>
#include <tuple>
#include <vector>

#include "core/gguf_writer.h"
#include "delta/create.h"
#include "delta/model_view.h"
#include "forge/shard.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

// Of each tensor at most this part of the sample.
constexpr uint64_t kTensorPart = 20;
constexpr uint64_t kPerKind = 6;  // tensors of one type and number of dimensions

struct SampleTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;
  std::vector<std::byte> bytes;
};

// As many whole rows from the front as fit: rows are contiguous in the source.
std::vector<uint64_t> CutShape(const ViewTensor& tensor, uint64_t most_bytes) {
  uint64_t rows = 1;
  for (size_t i = 1; i < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  if (tensor.byte_size <= most_bytes || rows <= 1) return tensor.shape;
  const uint64_t row_bytes = tensor.byte_size / rows;
  return {tensor.shape[0], std::clamp<uint64_t>(most_bytes / row_bytes, 1, rows)};
}

Result<std::vector<SampleTensor>> CutTensors(const ModelView& view, uint64_t size_bytes) {
  std::map<std::tuple<TensorType, size_t>, uint64_t> taken;
  std::vector<SampleTensor> tensors;
  uint64_t sum_bytes = 0;
  for (uint32_t i = 0; i < view.tensors().size() && sum_bytes < size_bytes; ++i) {
    const ViewTensor& tensor = view.tensors()[i];
    if (tensor.byte_size == 0 || ++taken[{tensor.type, tensor.shape.size()}] > kPerKind) continue;
    std::vector<uint64_t> shape = CutShape(tensor, size_bytes / kTensorPart);
    uint64_t weights = 1;
    for (const uint64_t extent : tensor.shape) weights *= extent;
    uint64_t cut_weights = 1;
    for (const uint64_t extent : shape) cut_weights *= extent;
    SampleTensor cut{tensor.name, tensor.type, shape, {}};
    cut.bytes.resize(
        static_cast<size_t>(static_cast<__uint128_t>(tensor.byte_size) * cut_weights / weights));
    GS_TRY(view.ReadTensor(i, 0, cut.bytes));
    sum_bytes += cut.bytes.size();
    tensors.push_back(std::move(cut));
  }
  return tensors;
}

uint64_t Aligned(uint64_t offset) {
  return (offset + kDefaultGgufAlignment - 1) / kDefaultGgufAlignment * kDefaultGgufAlignment;
}

Result<uint64_t> WriteGguf(const std::vector<SampleTensor>& tensors, const std::string& name,
                           const fs::path& path) {
  GgufWriter writer;
  writer.AddString("general.architecture", "llama");
  writer.AddString("general.name", name);
  uint64_t offset = 0;
  for (const SampleTensor& tensor : tensors) {
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, offset);
    offset = Aligned(offset + tensor.bytes.size());
  }
  const auto header = writer.Serialize();
  std::string text(header.size() + offset, '\0');
  std::memcpy(text.data(), header.data(), header.size());
  offset = header.size();
  for (const SampleTensor& tensor : tensors) {
    std::memcpy(text.data() + offset, tensor.bytes.data(), tensor.bytes.size());
    offset = header.size() + Aligned(offset - header.size() + tensor.bytes.size());
  }
  GS_TRY(WriteWholeFile(path, text, Overwrite::kAllow));
  return text.size();
}

// Every third tensor gets a few other bytes: mantissa bits of scales, quants.
void FineTune(std::vector<SampleTensor>& tensors, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < tensors.size(); i += 3) {
    auto& bytes = tensors[i].bytes;
    for (size_t change = 0; change < 1 + bytes.size() / 2000; ++change) {
      bytes[random() % bytes.size()] ^= std::byte{1};
    }
  }
}

Result<void> MakePatch(const fs::path& base, const fs::path& target, const fs::path& patch) {
  NoProgress progress;
  GS_ASSIGN(const OpenedModel base_model, OpenModel(base));
  GS_ASSIGN(const OpenedModel target_model, OpenModel(target));
  GS_TRY(CreatePatch(*base_model.view, *target_model.view, patch, CreateOptions(), progress));
  return {};
}

}  // namespace

Result<SampleModel> MakeSampleModel(const CoreFile& core, const fs::path& folder, uint64_t seed,
                                    uint64_t size_bytes) {
  GS_ASSIGN(const CoreFile buffered, CoreFile::Open(core.map_path()));
  GS_ASSIGN(const auto view, ViewCore(buffered));
  GS_ASSIGN(std::vector<SampleTensor> tensors, CutTensors(*view, size_bytes));
  SampleModel sample;
  sample.base_gguf = folder / "base.gguf";
  sample.target_gguf = folder / "target.gguf";
  sample.core = folder / "core";
  sample.patch = folder / "there.sgdelta";
  sample.second_patch = folder / "back.sgdelta";
  GS_ASSIGN(const uint64_t bytes, WriteGguf(tensors, "sample", sample.base_gguf));
  sample.description = fmt::format("{} tensors cut from the model, {} KiB of {} KiB",
                                   tensors.size(), bytes >> 10, core.file().size_bytes() >> 10);
  FineTune(tensors, seed);
  GS_TRY(WriteGguf(tensors, "sample, tuned", sample.target_gguf));
  NoProgress progress;
  ShardOptions shard;
  shard.output_directory = sample.core;
  GS_TRY(ShardModel(sample.base_gguf, shard, progress));
  GS_TRY(MakePatch(sample.base_gguf, sample.target_gguf, sample.patch));
  GS_TRY(MakePatch(sample.target_gguf, sample.base_gguf, sample.second_patch));
  return sample;
}

}  // namespace gguf_shard
