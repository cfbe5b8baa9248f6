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

void FaultFileOperations::FailOpens(uint64_t times, int error_number) {
  failing_opens_ = times;
  open_error_ = error_number;
}

void FaultFileOperations::ClearReadFaults() {
  replaced_.clear();
  failing_.clear();
  failing_opens_ = 0;
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

uint64_t FaultFileOperations::Draw(const ReadCall& call, Lot lot) const {
  // The finishing steps of MurmurHash3, over one word after the other.
  uint64_t hash = seed_;
  for (const uint64_t word : {call.offset, call.visit, static_cast<uint64_t>(lot)}) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
    hash ^= hash >> 33;
  }
  return hash;
}

bool FaultFileOperations::Happens(const ReadCall& call, Lot lot, double share) {
  const bool happens = static_cast<double>(Draw(call, lot) >> 11) * 0x1p-53 < share;
  if (happens) ++fault_count_;
  return happens;
}

bool FaultFileOperations::ReadFails(uint64_t offset, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto place = failing_.lower_bound(offset);
  if (place == failing_.end() || place->first >= offset + bytes || place->second == 0) return false;
  --place->second;
  ++fault_count_;
  return true;
}

// Whole blocks, so that a direct read can go on behind them.
size_t FaultFileOperations::Shortened(const ReadCall& call) {
  const bool in_blocks = call.bytes % kBlockBytes == 0 && call.offset % kBlockBytes == 0;
  const uint64_t unit = in_blocks ? kBlockBytes : 1;
  if (call.bytes <= unit || !Happens(call, Lot::kShorten, short_share_)) return call.bytes;
  return (1 + Draw(call, Lot::kLength) % (call.bytes / unit)) * unit;
}

FaultFileOperations::Fate FaultFileOperations::DecideRead(uint64_t offset, size_t bytes) {
  ReadCall call{offset, bytes};
  {
    const std::lock_guard lock(mutex_);
    call.visit = visits_[offset]++;
  }
  if (Happens(call, Lot::kDelay, delay_share_)) std::this_thread::sleep_for(delay_);
  if (Happens(call, Lot::kInterrupt, interrupted_share_)) return {EINTR, 0};
  if (ReadFails(offset, bytes)) return {EIO, 0};
  bytes = Shortened(call);
  if (offset + bytes <= end_bytes_) return {0, bytes};
  ++fault_count_;
  // Whole blocks, as direct reads want them.
  return {0, offset >= end_bytes_ ? 0 : (end_bytes_ - offset) / kBlockBytes * kBlockBytes};
}

bool FaultFileOperations::Replace(uint64_t offset, std::byte* target, uint64_t bytes) {
  auto place = replaced_.upper_bound(offset);
  if (place != replaced_.begin()) --place;
  bool replaced = false;
  for (; place != replaced_.end() && place->first < offset + bytes; ++place) {
    const uint64_t first = std::max(offset, place->first);
    const uint64_t end = std::min(offset + bytes, place->first + place->second.size());
    if (first >= end) continue;
    std::memcpy(target + (first - offset), place->second.data() + (first - place->first),
                end - first);
    ++fault_count_;
    replaced = true;
  }
  return replaced;
}

bool FaultFileOperations::OpenFails(const char* path) {
  struct stat status {};
  if (stat(path, &status) != 0 ||
      target_ != std::pair<uint64_t, uint64_t>(status.st_dev, status.st_ino)) {
    return false;
  }
  const std::lock_guard lock(mutex_);
  if (failing_opens_ == 0) return false;
  --failing_opens_;
  ++fault_count_;
  errno = open_error_;
  return true;
}

int FaultFileOperations::Open(const char* path, int flags, mode_t mode) {
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  const bool fails = creates ? ChangeFails() : OpenFails(path);
  return fails ? -1 : FileOperations::Open(path, flags, mode);
}

int FaultFileOperations::MakeTemporary(char* pattern) {
  return ChangeFails() ? -1 : FileOperations::MakeTemporary(pattern);
}

ssize_t FaultFileOperations::Read(int descriptor, void* target, size_t bytes, off_t offset) {
  if (!IsTarget(descriptor)) return FileOperations::Read(descriptor, target, bytes, offset);
  const auto first = static_cast<uint64_t>(offset);
  const Fate fate = DecideRead(first, bytes);
  errno = fate.error_number;
  if (fate.error_number != 0) return -1;
  if (fate.bytes == 0) return 0;
  const ssize_t got = FileOperations::Read(descriptor, target, fate.bytes, offset);
  if (got > 0) Replace(first, static_cast<std::byte*>(target), static_cast<uint64_t>(got));
  return got;
}

ssize_t FaultFileOperations::EndRead(int descriptor, void* target, size_t bytes, off_t offset,
                                     ssize_t result) {
  if (result <= 0 || !IsTarget(descriptor)) return result;
  const auto first = static_cast<uint64_t>(offset);
  auto* const read = static_cast<std::byte*>(target);
  const Fate fate = DecideRead(first, bytes);
  const size_t got = fate.error_number != 0 ? 0 : std::min(fate.bytes, static_cast<size_t>(result));
  const bool replaced = Replace(first, read, got);
  if (replaced || got < static_cast<size_t>(result)) ++uring_fault_count_;
  // Nobody may take bytes for read that were not.
  constexpr int kNothingRead = 0xA5;
  std::memset(read + got, kNothingRead, bytes - got);
  return fate.error_number != 0 ? -fate.error_number : static_cast<ssize_t>(got);
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

int FaultFileOperations::MakeDirectory(const char* path, mode_t mode) {
  return ChangeFails() ? -1 : FileOperations::MakeDirectory(path, mode);
}

}  // namespace gguf_shard
