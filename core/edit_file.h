// Changing files that exist: writes in place, durable renames and removals, and copies of ranges
// that the file system may share instead of copying. For in-place patches and their journals.
//
// Thread-safety: EditFile::WriteAt and ReadAt may be called from many threads; the rest from one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace gguf_shard {

class EditFile {
 public:
  static Result<EditFile> Open(const std::filesystem::path& path);

  EditFile(EditFile&& other) noexcept;
  EditFile& operator=(EditFile&& other) noexcept;
  EditFile(const EditFile&) = delete;
  EditFile& operator=(const EditFile&) = delete;
  ~EditFile();

  Result<uint64_t> SizeBytes() const;
  Result<void> ReadAt(uint64_t offset, std::span<std::byte> target) const;
  Result<void> WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  // Cuts the file, or extends it with zeros whose disk blocks are reserved where possible.
  Result<void> Resize(uint64_t size_bytes);
  Result<void> Sync();
  // A lock that other processes see, held until the file is closed or the process ends, however it
  // ends. False when another holds it; true as well where the file system has no locks.
  Result<bool> TryLock();

 private:
  EditFile(int descriptor, std::filesystem::path path)
      : descriptor_(descriptor), path_(std::move(path)) {}

  int descriptor_ = -1;
  std::filesystem::path path_;
};

// Both sync the directory: after a crash the change is either not there or complete. RenameDurably
// replaces `to`.
Result<void> RenameDurably(const std::filesystem::path& from, const std::filesystem::path& to);
// Removing what does not exist is a success.
Result<void> RemoveDurably(const std::filesystem::path& path);

// A second name for a file (a hard link). Not synced: whoever renames next in that folder does
// that.
Result<void> LinkFile(const std::filesystem::path& from, const std::filesystem::path& to);

// The folder and those above it, as far as they are missing; names those that were made, outermost
// first. After a crash each is there, with what was synced in it. All or none.
Result<std::vector<std::filesystem::path>> MakeDirectories(const std::filesystem::path& directory);
// Removes folders that MakeDirectories made, where they are empty.
void RemoveDirectories(std::span<const std::filesystem::path> made);

// Copies a range inside the kernel, sharing its blocks where the file system can (reflink). False
// when the kernel cannot copy between these files, or would do it no better than the caller (ext4,
// tmpfs): nothing was written then.
Result<bool> CopyRange(const File& source, uint64_t source_offset, OutputFile& target,
                       uint64_t target_offset, uint64_t byte_size);

}  // namespace gguf_shard
