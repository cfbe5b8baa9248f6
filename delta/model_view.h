// A model as delta sees it: source files, each a header, tensors and gaps, whatever holds them: a
// GGUF, a core, or a base with a patch laid over it.
//
// All bytes are source bytes: tensors in the order of the GGUF, not of the pages. Every byte of a
// file that belongs to neither header, tensor nor gap is zero. Thread-safety: immutable after
// opening; the Read functions may be called from many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/core_file.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/gguf_model.h"

namespace gguf_shard {

// Bytes that belong to no tensor and are not all zero.
struct ViewGap {
  uint64_t offset = 0;  // in the file
  uint64_t byte_size = 0;
};

struct ViewFile {
  std::string name;  // no directories
  uint64_t byte_size = 0;
  GgufHeader header;
  std::vector<ViewGap> gaps;           // ascending
  std::optional<Sha256Digest> sha256;  // where known without reading
};

struct ViewTensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> shape;
  uint32_t file_index = 0;
  uint64_t offset = 0;  // in the file
  uint64_t byte_size = 0;
  std::optional<Xxh128Digest> digest;  // where known without reading
};

// Where a range of a tensor lies unchanged in a file of the operating system.
struct FileExtent {
  const File* file;
  uint64_t offset;
};

class ModelView {
 public:
  virtual ~ModelView() = default;

  const std::vector<ViewFile>& files() const { return files_; }
  // File by file, ascending offsets.
  const std::vector<ViewTensor>& tensors() const { return tensors_; }
  // Index into tensors().
  std::optional<uint32_t> FindTensor(std::string_view name) const;
  uint64_t total_bytes() const;

  virtual Result<void> ReadTensor(uint32_t tensor_index, uint64_t offset,
                                  std::span<std::byte> target) const = 0;
  virtual Result<void> ReadGap(uint32_t file_index, const ViewGap& gap, uint64_t offset,
                               std::span<std::byte> target) const = 0;
  // Nothing where the bytes are not stored as they are.
  virtual std::optional<FileExtent> FindExtent(uint32_t, uint64_t, uint64_t) const {
    return std::nullopt;
  }

  // Whether these bytes of a tensor are, at the same place of the tensor of the same name, those of
  // the model at the bottom: the base under all patches. True for a model without patches.
  virtual bool IsUnchanged(uint32_t, uint64_t, uint64_t) const { return true; }

 protected:
  // Takes the files; lists the tensors of their headers. kMalformed when a name appears twice.
  Result<void> SetFiles(std::vector<ViewFile> files);

  std::vector<ViewFile> files_;
  std::vector<ViewTensor> tensors_;

 private:
  std::unordered_map<std::string_view, uint32_t> index_;
};

Result<std::unique_ptr<ModelView>> ViewGguf(const std::filesystem::path& path);
// `core` must outlive the view.
Result<std::unique_ptr<ModelView>> ViewCore(const CoreFile& core);

// A GGUF, a map, or a directory that holds a map.
struct OpenedModel {
  std::unique_ptr<CoreFile> core;  // null for a GGUF
  std::unique_ptr<ModelView> view;
};
Result<OpenedModel> OpenModel(const std::filesystem::path& path);

// Identifies a model's content: XXH3-128 over every file's header, every tensor's digest and every
// gap, in file order. Reads tensors without a known digest (or all, when `trust_digests` is
// false), several at a time (thread_count 0: one per processor).
Result<Xxh128Digest> ContentDigest(const ModelView& view, bool trust_digests,
                                   uint32_t thread_count = 0);
Result<Xxh128Digest> TensorDigest(const ModelView& view, uint32_t tensor_index);
// The same digest from the digests of all tensors.
Result<Xxh128Digest> ContentDigestFrom(const ModelView& view,
                                       std::span<const Xxh128Digest> tensor_digests);

}  // namespace gguf_shard
