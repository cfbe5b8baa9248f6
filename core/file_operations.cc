#include "core/file_operations.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace gguf_shard {
namespace {

FileOperations& SystemOperations() {
  static FileOperations operations;
  return operations;
}

std::atomic<FileOperations*>& Current() {
  static std::atomic<FileOperations*> current = &SystemOperations();
  return current;
}

}  // namespace

int FileOperations::Open(const char* path, int flags, mode_t mode) {
  return open(path, flags, mode);
}
int FileOperations::MakeTemporary(char* pattern) { return mkostemp(pattern, O_CLOEXEC); }
int FileOperations::Close(int descriptor) { return close(descriptor); }
ssize_t FileOperations::Read(int descriptor, void* target, size_t bytes, off_t offset) {
  return pread(descriptor, target, bytes, offset);
}
ssize_t FileOperations::EndRead(int, void*, size_t, off_t, ssize_t result) { return result; }
ssize_t FileOperations::Write(int descriptor, const void* source, size_t bytes, off_t offset) {
  return pwrite(descriptor, source, bytes, offset);
}
ssize_t FileOperations::CopyRange(int from, off_t from_offset, int to, off_t to_offset,
                                  size_t bytes) {
  return copy_file_range(from, &from_offset, to, &to_offset, bytes, 0);
}
int FileOperations::Allocate(int descriptor, off_t offset, off_t bytes) {
  return fallocate(descriptor, 0, offset, bytes);
}
int FileOperations::Truncate(int descriptor, off_t bytes) { return ftruncate(descriptor, bytes); }
int FileOperations::Sync(int descriptor) { return fsync(descriptor); }
int FileOperations::SyncDirectory(int descriptor) { return fsync(descriptor); }
int FileOperations::Link(const char* from, const char* to) { return link(from, to); }
int FileOperations::LinkDescriptor(int descriptor, const char* to) {
  const std::string self = fmt::format("/proc/self/fd/{}", descriptor);
  return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, to, AT_SYMLINK_FOLLOW);
}
int FileOperations::Rename(const char* from, const char* to) { return rename(from, to); }
int FileOperations::Unlink(const char* path) { return unlink(path); }
int FileOperations::MakeDirectory(const char* path, mode_t mode) { return mkdir(path, mode); }

FileOperations& CurrentFileOperations() { return *Current().load(std::memory_order_acquire); }

ScopedFileOperations::ScopedFileOperations(FileOperations& operations)
    : before_(Current().exchange(&operations, std::memory_order_acq_rel)) {}

ScopedFileOperations::~ScopedFileOperations() {
  Current().store(before_, std::memory_order_release);
}

}  // namespace gguf_shard
