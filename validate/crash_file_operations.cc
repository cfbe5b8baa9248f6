#include "validate/crash_file_operations.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace gguf_shard {
namespace {

// What a dead process gets from every call.
int Dead() {
  errno = EIO;
  return -1;
}

using FileId = std::pair<uint64_t, uint64_t>;

FileId IdOf(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

FileId IdOfFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

// A write that the crash interrupts got this far, in whole multiples (direct writes need them).
constexpr uint64_t kTornBytes = 512;

uint64_t SizeOf(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

}  // namespace

CrashFileOperations::CrashFileOperations(uint64_t crash_at, uint64_t seed)
    : crash_at_(crash_at), random_(seed) {}

CrashFileOperations::~CrashFileOperations() {
  for (auto& [id, file] : files_) {
    if (file.descriptor >= 0) close(file.descriptor);
  }
  for (auto& [id, changes] : folders_) {
    for (const NameChange& change : changes) {
      if (!change.kept_as.empty()) unlink(change.kept_as.c_str());
    }
  }
}

bool CrashFileOperations::Allowed(bool* torn) {
  if (crashed_) return false;
  if (change_count_++ != crash_at_) return true;
  crashed_ = true;
  if (torn) *torn = true;
  return false;
}

void CrashFileOperations::Remember(int descriptor, uint64_t offset, uint64_t bytes) {
  PendingFile& file = files_[IdOf(descriptor)];
  if (file.descriptor < 0) {
    // A descriptor of our own that reads and writes, whatever the caller's does.
    const std::string self = fmt::format("/proc/self/fd/{}", descriptor);
    file.descriptor = open(self.c_str(), O_RDWR | O_CLOEXEC);
  }
  OldBytes old;
  old.offset = offset;
  old.byte_size = bytes;
  old.file_bytes = SizeOf(descriptor);
  const uint64_t end = std::min(offset + bytes, old.file_bytes);
  if (end > offset) {
    old.bytes.resize(end - offset);
    const ssize_t got =
        pread(file.descriptor, old.bytes.data(), old.bytes.size(), static_cast<off_t>(offset));
    old.bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  }
  file.changes.push_back(std::move(old));
}

int CrashFileOperations::Open(const char* path, int flags, mode_t mode) {
  const std::lock_guard lock(mutex_);
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  if (crashed_ || (creates && !Allowed())) return Dead();
  return FileOperations::Open(path, flags, mode);
}

int CrashFileOperations::MakeTemporary(char* pattern) {
  const std::lock_guard lock(mutex_);
  return Allowed() ? FileOperations::MakeTemporary(pattern) : Dead();
}

ssize_t CrashFileOperations::Read(int descriptor, void* target, size_t bytes, off_t offset) {
  {
    const std::lock_guard lock(mutex_);
    if (crashed_) return Dead();
  }
  return FileOperations::Read(descriptor, target, bytes, offset);
}

ssize_t CrashFileOperations::Write(int descriptor, const void* source, size_t bytes, off_t offset) {
  const std::lock_guard lock(mutex_);
  bool torn = false;
  if (!Allowed(&torn)) {
    if (!torn) return Dead();
    // Direct writes come in whole blocks.
    bytes = random_() % (bytes + 1) / kTornBytes * kTornBytes;
    if (bytes == 0) return Dead();
  }
  Remember(descriptor, static_cast<uint64_t>(offset), bytes);
  const ssize_t put = FileOperations::Write(descriptor, source, bytes, offset);
  return torn ? Dead() : put;
}

ssize_t CrashFileOperations::CopyRange(int from, off_t from_offset, int to, off_t to_offset,
                                       size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  Remember(to, static_cast<uint64_t>(to_offset), bytes);
  return FileOperations::CopyRange(from, from_offset, to, to_offset, bytes);
}

int CrashFileOperations::Allocate(int descriptor, off_t offset, off_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  Remember(descriptor, static_cast<uint64_t>(offset), 0);
  return FileOperations::Allocate(descriptor, offset, bytes);
}

int CrashFileOperations::Truncate(int descriptor, off_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  const uint64_t old_bytes = SizeOf(descriptor);
  const auto new_bytes = static_cast<uint64_t>(bytes);
  Remember(descriptor, new_bytes, old_bytes > new_bytes ? old_bytes - new_bytes : 0);
  return FileOperations::Truncate(descriptor, bytes);
}

int CrashFileOperations::Sync(int descriptor) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  files_[IdOf(descriptor)].changes.clear();
  return 0;  // the machine does not really crash: no need to wait for its disk
}

int CrashFileOperations::SyncDirectory(int descriptor) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  for (const NameChange& change : folders_[IdOf(descriptor)]) {
    if (!change.kept_as.empty()) unlink(change.kept_as.c_str());
  }
  folders_[IdOf(descriptor)].clear();
  return 0;
}

std::string CrashFileOperations::KeepAside(const std::string& path) {
  const std::string kept = fmt::format("{}.kept-{}", path, kept_count_++);
  return link(path.c_str(), kept.c_str()) == 0 ? kept : "";
}

void CrashFileOperations::AddNameChange(NameChange change) {
  folders_[IdOfFolder(change.name)].push_back(std::move(change));
}

int CrashFileOperations::Link(const char* from, const char* to) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  const int status = FileOperations::Link(from, to);
  if (status == 0) AddNameChange({NameChange::Kind::kAdded, to, "", ""});
  return status;
}

int CrashFileOperations::LinkDescriptor(int descriptor, const char* to) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  const int status = FileOperations::LinkDescriptor(descriptor, to);
  if (status == 0) AddNameChange({NameChange::Kind::kAdded, to, "", ""});
  return status;
}

int CrashFileOperations::Rename(const char* from, const char* to) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  const std::string kept = KeepAside(to);
  const int status = FileOperations::Rename(from, to);
  if (status == 0) AddNameChange({NameChange::Kind::kRenamed, to, from, kept});
  return status;
}

int CrashFileOperations::Unlink(const char* path) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  const std::string kept = KeepAside(path);
  const int status = FileOperations::Unlink(path);
  if (status == 0) AddNameChange({NameChange::Kind::kRemoved, path, "", kept});
  return status;
}

int CrashFileOperations::MakeDirectory(const char* path, mode_t mode) {
  const std::lock_guard lock(mutex_);
  if (!Allowed()) return Dead();
  const int status = FileOperations::MakeDirectory(path, mode);
  if (status == 0) AddNameChange({NameChange::Kind::kMadeDirectory, path, "", ""});
  return status;
}

void CrashFileOperations::TakeBack(const NameChange& change) {
  std::error_code ignored;
  switch (change.kind) {
    case NameChange::Kind::kMadeDirectory:
      std::filesystem::remove_all(change.name, ignored);
      break;
    case NameChange::Kind::kAdded:
      unlink(change.name.c_str());
      break;
    case NameChange::Kind::kRemoved:
      static_cast<void>(rename(change.kept_as.c_str(), change.name.c_str()));
      break;
    case NameChange::Kind::kRenamed:
      static_cast<void>(rename(change.name.c_str(), change.old_name.c_str()));
      if (!change.kept_as.empty()) {
        static_cast<void>(rename(change.kept_as.c_str(), change.name.c_str()));
      }
      break;
  }
}

void CrashFileOperations::LoseWrites(PendingFile& file) {
  bool all_later_lost = true;
  for (auto change = file.changes.rbegin(); change != file.changes.rend(); ++change) {
    if (random_() % 2 == 0) {
      all_later_lost = false;
      continue;
    }
    std::vector<char> before = change->bytes;
    if (!all_later_lost) before.resize(change->byte_size);  // a hole: zeros
    static_cast<void>(
        pwrite(file.descriptor, before.data(), before.size(), static_cast<off_t>(change->offset)));
    if (all_later_lost) {
      static_cast<void>(ftruncate(file.descriptor, static_cast<off_t>(change->file_bytes)));
    }
  }
  file.changes.clear();
}

void CrashFileOperations::LoseUnsynced() {
  const std::lock_guard lock(mutex_);
  for (auto& [id, file] : files_) LoseWrites(file);
  for (auto& [id, changes] : folders_) {
    const size_t survivors = random_() % (changes.size() + 1);
    for (size_t i = changes.size(); i > survivors; --i) TakeBack(changes[i - 1]);
    for (const NameChange& change : changes) {
      if (!change.kept_as.empty()) unlink(change.kept_as.c_str());
    }
    changes.clear();
  }
}

}  // namespace gguf_shard
