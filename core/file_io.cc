#include "core/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "core/file_operations.h"

namespace gguf_shard {
namespace {

// How often a transfer that makes no progress is tried again before its error counts. Signals come
// in bursts, and cost nothing; a read that the disk refuses rarely succeeds at the fourth try, and
// each may take the disk seconds.
constexpr int kMaxInterruptions = 1000;
constexpr int kMaxReadTries = 3;

// Counts what a transfer met since its last progress.
class Patience {
 public:
  void Progress() { interruptions_ = refusals_ = 0; }
  // Whether a call that failed so should be made once more.
  bool Allows(int error_number) {
    if (error_number == EINTR) return ++interruptions_ < kMaxInterruptions;
    return (error_number == EIO || error_number == EAGAIN) && ++refusals_ < kMaxReadTries;
  }

 private:
  int interruptions_ = 0;
  int refusals_ = 0;
};

}  // namespace

Error SystemError(std::string_view what, const std::filesystem::path& path, int error_number) {
  ErrorCode code = ErrorCode::kIo;
  if (error_number == ENOENT) code = ErrorCode::kNotFound;
  if (error_number == EEXIST) code = ErrorCode::kAlreadyExists;
  if (error_number == ENOSPC || error_number == EDQUOT) code = ErrorCode::kNoSpace;
  return Error(code, fmt::format("cannot {}: {}", what, std::strerror(error_number)))
      .File(path.string());
}

Result<void> ReadExactly(int descriptor, const std::filesystem::path& path, uint64_t offset,
                         std::span<std::byte> target) {
  const uint64_t requested_bytes = target.size();
  const uint64_t start_offset = offset;
  FileOperations& operations = CurrentFileOperations();
  Patience patience;
  while (!target.empty()) {
    const ssize_t got =
        operations.Read(descriptor, target.data(), target.size(), static_cast<off_t>(offset));
    if (got < 0 && patience.Allows(errno)) continue;
    if (got < 0) return Fail(SystemError("read", path, errno).Offset(offset));
    if (got == 0) {
      return Fail(Error(ErrorCode::kTruncated, "the file ends before the bytes that are needed")
                      .File(path.string())
                      .Offset(start_offset)
                      .Expected(requested_bytes)
                      .Found(requested_bytes - target.size()));
    }
    patience.Progress();
    offset += static_cast<uint64_t>(got);
    target = target.subspan(static_cast<size_t>(got));
  }
  return {};
}

Result<void> WriteExactly(int descriptor, const std::filesystem::path& path, uint64_t offset,
                          std::span<const std::byte> bytes) {
  FileOperations& operations = CurrentFileOperations();
  Patience patience;
  while (!bytes.empty()) {
    const ssize_t put =
        operations.Write(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    // What a disk refused to write is not tried again: it may say yes and lose it all the same.
    if (put < 0 && errno == EINTR && patience.Allows(EINTR)) continue;
    if (put < 0) return Fail(SystemError("write", path, errno).Offset(offset));
    patience.Progress();
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

int OpenPatiently(const char* path, int flags, mode_t mode) {
  FileOperations& operations = CurrentFileOperations();
  Patience patience;
  while (true) {
    const int descriptor = operations.Open(path, flags, mode);
    if (descriptor >= 0 || !patience.Allows(errno)) return descriptor;
  }
}

std::filesystem::path DirectoryOf(const std::filesystem::path& path) {
  const auto parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

Result<void> SyncDirectory(const std::filesystem::path& directory) {
  FileOperations& operations = CurrentFileOperations();
  const int descriptor = OpenPatiently(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (descriptor < 0) return Fail(SystemError("open the directory", directory, errno));
  const int status = operations.SyncDirectory(descriptor);
  const int error_number = errno;
  operations.Close(descriptor);
  // Some file systems cannot sync a directory; their renames are durable by other means.
  if (status != 0 && error_number != EINVAL) {
    return Fail(SystemError("sync the directory", directory, error_number));
  }
  return {};
}

}  // namespace gguf_shard
