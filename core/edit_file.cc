#include "core/edit_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/file_io.h"
#include "core/file_operations.h"

namespace gguf_shard {
EditFile::EditFile(EditFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

EditFile& EditFile::operator=(EditFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

EditFile::~EditFile() {
  if (descriptor_ >= 0) CurrentFileOperations().Close(descriptor_);
}

Result<EditFile> EditFile::Open(const std::filesystem::path& path) {
  const int descriptor = OpenPatiently(path.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return Fail(SystemError("open for writing", path, errno));
  return EditFile(descriptor, path);
}

Result<uint64_t> EditFile::SizeBytes() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) return Fail(SystemError("stat", path_, errno));
  return static_cast<uint64_t>(status.st_size);
}

Result<void> EditFile::ReadAt(uint64_t offset, std::span<std::byte> target) const {
  return ReadExactly(descriptor_, path_, offset, target);
}

Result<void> EditFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  return WriteExactly(descriptor_, path_, offset, bytes);
}

Result<void> EditFile::Resize(uint64_t size_bytes) {
  GS_ASSIGN(const uint64_t old_bytes, SizeBytes());
  if (size_bytes > old_bytes &&
      CurrentFileOperations().Allocate(descriptor_, static_cast<off_t>(old_bytes),
                                       static_cast<off_t>(size_bytes - old_bytes)) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS) {
    return Fail(SystemError("reserve disk space for", path_, errno));
  }
  if (CurrentFileOperations().Truncate(descriptor_, static_cast<off_t>(size_bytes)) == 0) return {};
  return Fail(SystemError("resize", path_, errno));
}

Result<void> EditFile::Sync() {
  if (CurrentFileOperations().Sync(descriptor_) != 0)
    return Fail(SystemError("sync", path_, errno));
  return {};
}

Result<bool> EditFile::TryLock() {
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) return true;
  return Fail(SystemError("lock", path_, errno));
}

Result<void> RenameDurably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (CurrentFileOperations().Rename(from.c_str(), to.c_str()) != 0)
    return Fail(SystemError("rename", from, errno));
  return SyncDirectory(DirectoryOf(to));
}

Result<void> RemoveDurably(const std::filesystem::path& path) {
  if (CurrentFileOperations().Unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Fail(SystemError("remove", path, errno));
  }
  return SyncDirectory(DirectoryOf(path));
}

namespace {

// File systems that never share blocks: their kernel copies are those of the page cache, byte for
// byte, which cost more than writing past it.
bool NeverShares(int descriptor) {
  struct statfs system {};
  if (fstatfs(descriptor, &system) != 0) return false;
  return system.f_type == EXT4_SUPER_MAGIC || system.f_type == TMPFS_MAGIC;
}

}  // namespace

Result<bool> CopyRange(const File& source, uint64_t source_offset, OutputFile& target,
                       uint64_t target_offset, uint64_t byte_size) {
  if (NeverShares(target.descriptor())) return false;
  uint64_t done = 0;
  while (done < byte_size) {
    const auto from = static_cast<off_t>(source_offset + done);
    const auto to = static_cast<off_t>(target_offset + done);
    const ssize_t copied = CurrentFileOperations().CopyRange(
        source.descriptor(), from, target.descriptor(), to, byte_size - done);
    if (copied < 0 && errno == EINTR) continue;
    const bool impossible = copied == 0 || errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                            errno == EOPNOTSUPP || errno == EPERM;
    if (copied <= 0 && done == 0 && impossible) return false;
    if (copied <= 0) return Fail(SystemError("copy a range to", target.path(), errno));
    done += static_cast<uint64_t>(copied);
  }
  return true;
}

Result<void> LinkFile(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (CurrentFileOperations().Link(from.c_str(), to.c_str()) == 0) return {};
  return Fail(SystemError("name", to, errno));
}

namespace {

// The levels of a path that are not there, outermost first.
std::vector<std::filesystem::path> MissingLevels(std::filesystem::path path) {
  std::vector<std::filesystem::path> missing;
  std::error_code ignored;
  while (!path.empty() && !std::filesystem::exists(path, ignored)) {
    if (path.has_filename()) missing.push_back(path);
    path = path.parent_path();
  }
  std::reverse(missing.begin(), missing.end());
  return missing;
}

// A folder in one that exists; durable. Notes it when it was made.
Result<void> MakeDirectory(const std::filesystem::path& path,
                           std::vector<std::filesystem::path>& made) {
  if (CurrentFileOperations().MakeDirectory(path.c_str(), 0777) != 0) {
    if (errno == EEXIST) return {};
    return Fail(SystemError("make the directory", path, errno));
  }
  made.push_back(path);
  return SyncDirectory(DirectoryOf(path));
}

}  // namespace

Result<std::vector<std::filesystem::path>> MakeDirectories(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> made;
  for (const auto& level : MissingLevels(directory.lexically_normal())) {
    auto one = MakeDirectory(level, made);
    if (one) continue;
    RemoveDirectories(made);
    return Fail(std::move(one.error()));
  }
  return made;
}

void RemoveDirectories(std::span<const std::filesystem::path> made) {
  std::error_code ignored;
  std::for_each(made.rbegin(), made.rend(),
                [&ignored](const auto& level) { std::filesystem::remove(level, ignored); });
}

}  // namespace gguf_shard
