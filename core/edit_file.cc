#include "core/edit_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace gguf_shard {
namespace {

Error SystemError(std::string_view what, const std::filesystem::path& path, int error_number) {
  ErrorCode code = ErrorCode::kIo;
  if (error_number == ENOENT) code = ErrorCode::kNotFound;
  if (error_number == ENOSPC || error_number == EDQUOT) code = ErrorCode::kNoSpace;
  return Error(code, fmt::format("cannot {}: {}", what, std::strerror(error_number)))
      .File(path.string());
}

Result<void> SyncDirectoryOf(const std::filesystem::path& path) {
  const auto parent = path.parent_path();
  const std::filesystem::path directory = parent.empty() ? std::filesystem::path(".") : parent;
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemError("open the directory", directory, errno));
  const int status = fsync(descriptor);
  const int error_number = errno;
  close(descriptor);
  // Some file systems cannot sync a directory; their renames are durable by other means.
  if (status != 0 && error_number != EINVAL) {
    return Fail(SystemError("sync the directory", directory, error_number));
  }
  return {};
}

}  // namespace

EditFile::EditFile(EditFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

EditFile& EditFile::operator=(EditFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

EditFile::~EditFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<EditFile> EditFile::Open(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemError("open for writing", path, errno));
  return EditFile(descriptor, path);
}

Result<uint64_t> EditFile::SizeBytes() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) return Fail(SystemError("stat", path_, errno));
  return static_cast<uint64_t>(status.st_size);
}

Result<void> EditFile::ReadAt(uint64_t offset, std::span<std::byte> target) const {
  while (!target.empty()) {
    const ssize_t got =
        pread(descriptor_, target.data(), target.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(SystemError("read", path_, errno));
    if (got == 0) {
      return Fail(Error(ErrorCode::kTruncated, "the file ends before the bytes that are needed")
                      .File(path_.string())
                      .Offset(offset));
    }
    offset += static_cast<uint64_t>(got);
    target = target.subspan(static_cast<size_t>(got));
  }
  return {};
}

Result<void> EditFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Fail(SystemError("write", path_, errno));
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

Result<void> EditFile::Resize(uint64_t size_bytes) {
  GS_ASSIGN(const uint64_t old_bytes, SizeBytes());
  if (size_bytes > old_bytes &&
      fallocate(descriptor_, 0, static_cast<off_t>(old_bytes),
                static_cast<off_t>(size_bytes - old_bytes)) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS) {
    return Fail(SystemError("reserve disk space for", path_, errno));
  }
  if (ftruncate(descriptor_, static_cast<off_t>(size_bytes)) == 0) return {};
  return Fail(SystemError("resize", path_, errno));
}

Result<void> EditFile::Sync() {
  if (fsync(descriptor_) != 0) return Fail(SystemError("sync", path_, errno));
  return {};
}

Result<void> RenameDurably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return Fail(SystemError("rename", from, errno));
  return SyncDirectoryOf(to);
}

Result<void> RemoveDurably(const std::filesystem::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Fail(SystemError("remove", path, errno));
  }
  return SyncDirectoryOf(path);
}

Result<bool> CopyRange(const File& source, uint64_t source_offset, OutputFile& target,
                       uint64_t target_offset, uint64_t byte_size) {
  uint64_t done = 0;
  while (done < byte_size) {
    auto from = static_cast<off_t>(source_offset + done);
    auto to = static_cast<off_t>(target_offset + done);
    const ssize_t copied =
        copy_file_range(source.descriptor(), &from, target.descriptor(), &to, byte_size - done, 0);
    if (copied < 0 && errno == EINTR) continue;
    const bool impossible = copied == 0 || errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                            errno == EOPNOTSUPP || errno == EPERM;
    if (copied <= 0 && done == 0 && impossible) return false;
    if (copied <= 0) return Fail(SystemError("copy a range to", target.path(), errno));
    done += static_cast<uint64_t>(copied);
  }
  return true;
}

}  // namespace gguf_shard
