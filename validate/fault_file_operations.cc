#include "validate/fault_file_operations.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "core/file_io.h"

namespace gguf_shard {
namespace {

// What direct reads come in.
constexpr uint64_t kBlockBytes = 4096;

}  // namespace

Result<void> FaultFileOperations::SetTarget(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return Fail(SystemError("look at", path, errno));
  target_ = {status.st_dev, status.st_ino};
  return {};
}

void FaultFileOperations::ReplaceBytes(uint64_t offset, std::vector<std::byte> bytes) {
  replaced_[offset] = std::move(bytes);
}

void FaultFileOperations::FailReadsOf(uint64_t offset, uint64_t times) { failing_[offset] = times; }

void FaultFileOperations::DelayReads(double share, std::chrono::microseconds delay) {
  delay_share_ = share;
  delay_ = delay;
}

void FaultFileOperations::ClearReadFaults() {
  replaced_.clear();
  failing_.clear();
  end_bytes_ = kNever;
  short_share_ = interrupted_share_ = delay_share_ = 0;
}

void FaultFileOperations::FailChangesFrom(uint64_t change, int error_number) {
  first_failing_change_ = change;
  change_error_ = error_number;
  change_count_ = 0;
}

bool FaultFileOperations::IsTarget(int descriptor) const {
  struct stat status {};
  return fstat(descriptor, &status) == 0 &&
         target_ == std::pair<uint64_t, uint64_t>(status.st_dev, status.st_ino);
}

bool FaultFileOperations::ChangeFails() {
  if (change_count_++ < first_failing_change_) return false;
  errno = change_error_;
  return true;
}

bool FaultFileOperations::Happens(double share) {
  if (share <= 0) return false;
  const std::lock_guard lock(mutex_);
  const bool happens = static_cast<double>(random_() >> 11) * 0x1p-53 < share;
  if (happens) ++fault_count_;
  return happens;
}

bool FaultFileOperations::ReadFails(uint64_t offset, uint64_t bytes) {
  if (offset < spared_before_) return false;
  const std::lock_guard lock(mutex_);
  const auto place = failing_.lower_bound(offset);
  if (place == failing_.end() || place->first >= offset + bytes || place->second == 0) return false;
  --place->second;
  ++fault_count_;
  return true;
}

// Whole blocks, so that a direct read can go on behind them.
size_t FaultFileOperations::Shortened(size_t bytes, off_t offset) {
  const bool in_blocks = bytes % kBlockBytes == 0 && offset % kBlockBytes == 0;
  const uint64_t unit = in_blocks ? kBlockBytes : 1;
  if (bytes <= unit || !Happens(short_share_)) return bytes;
  const std::lock_guard lock(mutex_);
  return (1 + random_() % (bytes / unit)) * unit;
}

void FaultFileOperations::Replace(uint64_t offset, std::byte* target, uint64_t bytes) {
  auto place = replaced_.upper_bound(offset);
  if (place != replaced_.begin()) --place;
  for (; place != replaced_.end() && place->first < offset + bytes; ++place) {
    const uint64_t first = std::max(offset, place->first);
    const uint64_t end = std::min(offset + bytes, place->first + place->second.size());
    if (first >= end) continue;
    std::memcpy(target + (first - offset), place->second.data() + (first - place->first),
                end - first);
    ++fault_count_;
  }
}

int FaultFileOperations::Open(const char* path, int flags, mode_t mode) {
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return creates && ChangeFails() ? -1 : FileOperations::Open(path, flags, mode);
}

int FaultFileOperations::MakeTemporary(char* pattern) {
  return ChangeFails() ? -1 : FileOperations::MakeTemporary(pattern);
}

ssize_t FaultFileOperations::Read(int descriptor, void* target, size_t bytes, off_t offset) {
  if (!IsTarget(descriptor)) return FileOperations::Read(descriptor, target, bytes, offset);
  if (Happens(delay_share_)) std::this_thread::sleep_for(delay_);
  if (Happens(interrupted_share_)) {
    errno = EINTR;
    return -1;
  }
  const auto first = static_cast<uint64_t>(offset);
  if (ReadFails(first, bytes)) {
    errno = EIO;
    return -1;
  }
  bytes = Shortened(bytes, offset);
  if (first + bytes > end_bytes_) {
    ++fault_count_;
    // Whole blocks, as direct reads want them.
    bytes = first >= end_bytes_ ? 0 : (end_bytes_ - first) / kBlockBytes * kBlockBytes;
    if (bytes == 0) return 0;
  }
  const ssize_t got = FileOperations::Read(descriptor, target, bytes, offset);
  if (got > 0) Replace(first, static_cast<std::byte*>(target), static_cast<uint64_t>(got));
  return got;
}

ssize_t FaultFileOperations::Write(int descriptor, const void* source, size_t bytes, off_t offset) {
  return ChangeFails() ? -1 : FileOperations::Write(descriptor, source, bytes, offset);
}

ssize_t FaultFileOperations::CopyRange(int from, off_t from_offset, int to, off_t to_offset,
                                       size_t bytes) {
  if (ChangeFails()) return -1;
  return FileOperations::CopyRange(from, from_offset, to, to_offset, bytes);
}

int FaultFileOperations::Allocate(int descriptor, off_t offset, off_t bytes) {
  return ChangeFails() ? -1 : FileOperations::Allocate(descriptor, offset, bytes);
}

int FaultFileOperations::Truncate(int descriptor, off_t bytes) {
  return ChangeFails() ? -1 : FileOperations::Truncate(descriptor, bytes);
}

}  // namespace gguf_shard
