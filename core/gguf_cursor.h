// Private to the GGUF reader: where a header's bytes come from, and the one place that checks a
// length from the file against the file before anything is read or allocated.
//
// GgufHeaderSource: a prefix of the file that grows on demand. Growing may move it, so parsed
// things are kept as GgufExtent until the end. GgufCursor: sequential reads that are exact or an
// Error. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "core/error.h"
#include "core/file.h"
#include "core/gguf_bytes.h"

namespace gguf_shard {

// A range of header bytes, from the start of the file.
struct GgufExtent {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

class GgufHeaderSource {
 public:
  virtual ~GgufHeaderSource() = default;
  // Makes at least the first `end_offset` bytes available; the caller checked it against the file.
  virtual Result<void> Reach(uint64_t end_offset) = 0;
  virtual const std::byte* data() const = 0;
  // The first `size_bytes` bytes as an owned buffer; the source is used up.
  virtual Result<GgufBytes> Take(uint64_t size_bytes) = 0;
};

// Reads a file in steps: never more than one step beyond what was asked for.
class GgufFileSource final : public GgufHeaderSource {
 public:
  explicit GgufFileSource(const File& file) : file_(file) {}
  Result<void> Reach(uint64_t end_offset) override;
  const std::byte* data() const override { return bytes_.data(); }
  Result<GgufBytes> Take(uint64_t size_bytes) override;

 private:
  const File& file_;
  GgufBytes bytes_;
};

class GgufMemorySource final : public GgufHeaderSource {
 public:
  explicit GgufMemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Result<void> Reach(uint64_t end_offset) override;
  const std::byte* data() const override { return bytes_.data(); }
  Result<GgufBytes> Take(uint64_t size_bytes) override;

 private:
  std::span<const std::byte> bytes_;
};

class GgufCursor {
 public:
  GgufCursor(GgufHeaderSource& source, uint64_t file_bytes)
      : source_(source), file_bytes_(file_bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t file_bytes() const { return file_bytes_; }
  // What is being read, for errors: "key general.name", "tensor 3".
  void SetSubject(std::string subject) { subject_ = std::move(subject); }
  const std::string& subject() const { return subject_; }

  // kTruncated when the file has fewer than `count` more bytes; kTooLarge beyond the header limit.
  // `what` completes "the file ends inside ...".
  Result<void> Require(uint64_t count, std::string_view what);
  // The same for `count` elements of at least `element_bytes` each, without overflow.
  Result<void> RequireElements(uint64_t count, uint64_t element_bytes, std::string_view what) const;

  template <typename T>
  Result<T> Read(std::string_view what) {
    GS_TRY(Require(sizeof(T), what));
    const T value = LoadLe<T>(source_.data() + offset_);
    offset_ += sizeof(T);
    return value;
  }
  Result<GgufExtent> ReadBytes(uint64_t count, std::string_view what);
  // u64 length, then that many bytes; the extent holds the bytes alone.
  Result<GgufExtent> ReadString(std::string_view what);

  // Valid until the next read.
  std::span<const std::byte> View(GgufExtent extent) const {
    return {source_.data() + extent.offset, extent.size_bytes};
  }

 private:
  GgufHeaderSource& source_;
  const uint64_t file_bytes_;
  uint64_t offset_ = 0;
  std::string subject_;
};

}  // namespace gguf_shard
