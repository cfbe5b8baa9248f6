#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/check.h"
#include "core/file_io.h"
#include "core/file_operations.h"

namespace gguf_shard {
File::File(int descriptor, bool direct, uint64_t size_bytes, std::filesystem::path path)
    : descriptor_(descriptor), direct_(direct), size_bytes_(size_bytes), path_(std::move(path)) {}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      direct_(other.direct_),
      size_bytes_(other.size_bytes_),
      path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(direct_, other.direct_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) CurrentFileOperations().Close(descriptor_);
}

Result<File> File::OpenRead(const std::filesystem::path& path, Caching caching) {
  int descriptor = -1;
  bool direct = false;
  if (caching == Caching::kDirect) {
    descriptor = OpenPatiently(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT, 0);
    direct = descriptor >= 0;
  }
  if (descriptor < 0) descriptor = OpenPatiently(path.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (descriptor < 0) return Fail(SystemError("open the file", path, errno));

  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    CurrentFileOperations().Close(descriptor);
    return Fail(Error(ErrorCode::kInvalidArgument, "not a regular file").File(path.string()));
  }
  return File(descriptor, direct, static_cast<uint64_t>(status.st_size), path);
}

Result<void> File::ReadAt(uint64_t offset, std::span<std::byte> target) const {
  return ReadExactly(descriptor_, path_, offset, target);
}

void File::AdviseSequential() const { posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL); }

void File::DropCache(uint64_t offset, uint64_t length) const {
  posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length),
                POSIX_FADV_DONTNEED);
}

Result<std::string> ReadWholeFile(const std::filesystem::path& path, uint64_t limit_bytes) {
  GS_ASSIGN(const File file, File::OpenRead(path));
  if (file.size_bytes() > limit_bytes) {
    return Fail(Error(ErrorCode::kTooLarge, "the file is larger than its kind can be")
                    .File(path.string())
                    .Expected(fmt::format("at most {} bytes", limit_bytes))
                    .Found(file.size_bytes()));
  }
  std::string text(file.size_bytes(), '\0');
  GS_TRY(file.ReadAt(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<void> CheckFreeSpace(const std::filesystem::path& directory, uint64_t needed_bytes) {
  struct statvfs status {};
  if (statvfs(directory.c_str(), &status) != 0) {
    return Fail(SystemError("ask for the free space", directory, errno));
  }
  const uint64_t free_bytes = uint64_t{status.f_bavail} * status.f_frsize;
  if (free_bytes >= needed_bytes) return {};
  return Fail(Error(ErrorCode::kNoSpace, "not enough free disk space")
                  .File(directory.string())
                  .Expected(fmt::format("{} bytes", needed_bytes))
                  .Found(fmt::format("{} bytes", free_bytes)));
}

// OutputFile ------------------------------------------------------------------------------------

OutputFile::OutputFile(OutputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      direct_descriptor_(std::exchange(other.direct_descriptor_, -1)),
      overwrite_(other.overwrite_),
      path_(std::move(other.path_)),
      temporary_path_(std::move(other.temporary_path_)) {
  other.temporary_path_.clear();
}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(direct_descriptor_, other.direct_descriptor_);
  std::swap(overwrite_, other.overwrite_);
  std::swap(path_, other.path_);
  std::swap(temporary_path_, other.temporary_path_);
  return *this;
}

OutputFile::~OutputFile() { Discard(); }

void OutputFile::Discard() {
  if (direct_descriptor_ >= 0) CurrentFileOperations().Close(direct_descriptor_);
  direct_descriptor_ = -1;
  if (descriptor_ >= 0) CurrentFileOperations().Close(descriptor_);
  descriptor_ = -1;
  if (!temporary_path_.empty()) CurrentFileOperations().Unlink(temporary_path_.c_str());
  temporary_path_.clear();
}

Result<OutputFile> OutputFile::Create(const std::filesystem::path& path, Overwrite overwrite) {
  std::error_code ignored;
  if (overwrite == Overwrite::kRefuse && std::filesystem::exists(path, ignored)) {
    return Fail(Error(ErrorCode::kAlreadyExists, "the output exists already").File(path.string()));
  }
  OutputFile output;
  output.overwrite_ = overwrite;
  output.path_ = path;
  const std::filesystem::path directory = DirectoryOf(path);
  // An unnamed file gets its name through /proc, which a bare chroot may lack.
  if (access("/proc/self/fd", X_OK) == 0) {
    output.descriptor_ = OpenPatiently(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (output.descriptor_ >= 0) {
      const std::string self = fmt::format("/proc/self/fd/{}", output.descriptor_);
      output.direct_descriptor_ = OpenPatiently(self.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC, 0);
      return output;
    }
  }

  std::string pattern = (directory / ("." + path.filename().string() + ".XXXXXX")).string();
  output.descriptor_ = CurrentFileOperations().MakeTemporary(pattern.data());
  if (output.descriptor_ < 0) return Fail(SystemError("create a file beside", path, errno));
  output.temporary_path_ = pattern;
  output.direct_descriptor_ = OpenPatiently(pattern.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC, 0);
  fchmod(output.descriptor_, 0644);
  return output;
}

Result<void> OutputFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  return WriteExactly(descriptor_, path_, offset, bytes);
}

Result<void> OutputFile::WriteDirectAt(uint64_t offset, std::span<const std::byte> bytes) {
  GS_CHECK(offset % kDirectAlignment == 0 && bytes.size() % kDirectAlignment == 0);
  if (direct_descriptor_ >= 0) return WriteExactly(direct_descriptor_, path_, offset, bytes);
  GS_TRY(WriteExactly(descriptor_, path_, offset, bytes));
  // Without direct writes, at least keep dirty pages from piling up in memory.
  StartWriteback(offset, bytes.size());
  return {};
}

Result<void> OutputFile::Reserve(uint64_t size_bytes) {
  if (size_bytes == 0) return {};
  if (CurrentFileOperations().Allocate(descriptor_, 0, static_cast<off_t>(size_bytes)) == 0)
    return {};
  if (errno == EOPNOTSUPP || errno == ENOSYS) return {};
  return Fail(SystemError("reserve disk space for", path_, errno));
}

void OutputFile::StartWriteback(uint64_t offset, uint64_t length) {
  sync_file_range(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length),
                  SYNC_FILE_RANGE_WRITE);
}

Result<void> OutputFile::ReadAt(uint64_t offset, std::span<std::byte> target) const {
  return ReadExactly(descriptor_, path_, offset, target);
}

Result<void> OutputFile::Sync() {
  if (CurrentFileOperations().Sync(descriptor_) != 0)
    return Fail(SystemError("sync", path_, errno));
  return {};
}

Result<void> OutputFile::Commit() {
  GS_CHECK(descriptor_ >= 0);
  GS_TRY(Sync());
  if (temporary_path_.empty()) {
    // An unnamed file cannot replace another in one step: it first gets a temporary name.
    const std::filesystem::path temporary =
        DirectoryOf(path_) / fmt::format(".{}.{}", path_.filename().string(), getpid());
    CurrentFileOperations().Unlink(temporary.c_str());
    if (CurrentFileOperations().LinkDescriptor(descriptor_, temporary.c_str()) != 0) {
      return Fail(SystemError("name", path_, errno));
    }
    temporary_path_ = temporary;
  }
  // A plain rename would replace a file that appeared meanwhile; CurrentFileOperations().Link()
  // refuses.
  if (overwrite_ == Overwrite::kAllow) {
    if (CurrentFileOperations().Rename(temporary_path_.c_str(), path_.c_str()) != 0) {
      return Fail(SystemError("rename to", path_, errno));
    }
    temporary_path_.clear();
  } else if (CurrentFileOperations().Link(temporary_path_.c_str(), path_.c_str()) != 0) {
    return Fail(SystemError("name", path_, errno));
  }
  Discard();
  return SyncDirectory(DirectoryOf(path_));
}

Result<void> WriteWholeFile(const std::filesystem::path& path, std::string_view text,
                            Overwrite overwrite) {
  GS_ASSIGN(OutputFile output, OutputFile::Create(path, overwrite));
  GS_TRY(output.WriteAt(0, std::as_bytes(std::span(text))));
  return output.Commit();
}

}  // namespace gguf_shard
