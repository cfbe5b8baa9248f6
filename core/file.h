// Files: positioned reads and writes that are exact or an Error, and outputs that appear complete
// or not at all. The only place in the project that opens, writes, syncs and renames.
//
// Thread-safety: File::ReadAt and OutputFile's WriteAt and WriteDirectAt may be called from many
// threads at once; the rest is for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/error.h"

namespace gguf_shard {

// kDirect bypasses the operating system's page cache (O_DIRECT); offsets, lengths and addresses
// must then be multiples of 4096 (kDirectAlignment). Where the file system refuses O_DIRECT the
// file is opened buffered, File::direct() says so, and pages read are dropped from the page cache.
enum class Caching { kBuffered, kDirect };
inline constexpr uint64_t kDirectAlignment = 4096;

class File {
 public:
  static Result<File> OpenRead(const std::filesystem::path& path,
                               Caching caching = Caching::kBuffered);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  // Fills `target` from `offset`, or fails: kTruncated at the end of the file, kIo otherwise.
  Result<void> ReadAt(uint64_t offset, std::span<std::byte> target) const;
  // Tells the operating system that these bytes will be read once, soon, in order (buffered files).
  void AdviseSequential() const;
  // Drops [offset, offset + length) from the page cache (buffered files).
  void DropCache(uint64_t offset, uint64_t length) const;

  uint64_t size_bytes() const { return size_bytes_; }
  bool direct() const { return direct_; }
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

 private:
  File(int descriptor, bool direct, uint64_t size_bytes, std::filesystem::path path);

  int descriptor_ = -1;
  bool direct_ = false;
  uint64_t size_bytes_ = 0;
  std::filesystem::path path_;
};

enum class Overwrite { kRefuse, kAllow };

// A file written under a temporary name (unnamed, where the file system has O_TMPFILE) and given
// its name by Commit(). Destroyed without Commit, it leaves nothing behind.
class OutputFile {
 public:
  // Refuses (kAlreadyExists) when `path` exists and overwrite is kRefuse.
  static Result<OutputFile> Create(const std::filesystem::path& path, Overwrite overwrite);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  Result<void> WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  // Like WriteAt, but past the page cache where the file system allows that. Offset, length and
  // address are multiples of 4096; the bytes must not be in a 4096-byte block that WriteAt writes.
  Result<void> WriteDirectAt(uint64_t offset, std::span<const std::byte> bytes);
  // Reserves disk blocks, so that a full disk shows before the work; a no-op where unsupported.
  Result<void> Reserve(uint64_t size_bytes);
  // Starts writing dirty bytes of the range to the disk without waiting; a hint.
  void StartWriteback(uint64_t offset, uint64_t length);
  Result<void> ReadAt(uint64_t offset, std::span<std::byte> target) const;
  // Syncs the data; the file still has no name.
  Result<void> Sync();
  // Syncs, gives the file its name in one step, and syncs the directory.
  Result<void> Commit();

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

 private:
  OutputFile() = default;
  void Discard();

  int descriptor_ = -1;
  int direct_descriptor_ = -1;  // the same file with O_DIRECT; -1 where that is refused
  Overwrite overwrite_ = Overwrite::kRefuse;
  std::filesystem::path path_;            // final name
  std::filesystem::path temporary_path_;  // empty while the file is unnamed
};

// Whole small files (maps, reports). ReadWhole refuses files above `limit_bytes` with kTooLarge.
Result<std::string> ReadWholeFile(const std::filesystem::path& path, uint64_t limit_bytes);
Result<void> WriteWholeFile(const std::filesystem::path& path, std::string_view text,
                            Overwrite overwrite);

// kNoSpace when the file system of `directory` has fewer than `needed_bytes` free.
Result<void> CheckFreeSpace(const std::filesystem::path& directory, uint64_t needed_bytes);

}  // namespace gguf_shard
