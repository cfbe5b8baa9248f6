// File operations with faults: the seam at which `validate` and the tests damage what comes from a
// disk, and fill it up.
//
//   reads of the target file   other bytes at some places; EIO; an end before the end; short and
//                              interrupted reads; delays
//   opens of the target file   fail with an errno, so many times
//   all changes of files       from the n-th on they fail with an errno (ENOSPC: the disk is full)
//
// Reads by io_uring pass here when they end (EndRead), and meet the same faults. What is left to
// chance follows from the seed, the place that is read, and how often it was read before: the same
// whichever thread reads first. Nothing is ever written but what the caller writes. Set up by one
// thread, while no reads run; the operations themselves are thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file_operations.h"

namespace gguf_shard {

class FaultFileOperations final : public FileOperations {
 public:
  explicit FaultFileOperations(uint64_t seed) : seed_(seed) {}

  // The file whose reads have faults; by its identity, whatever name it is opened by.
  Result<void> SetTarget(const std::filesystem::path& path);
  // Reads of the target get these bytes from `offset` on. Ranges do not overlap.
  void ReplaceBytes(uint64_t offset, std::vector<std::byte> bytes);
  // Reads of the target that touch this byte fail with EIO, so many times.
  void FailReadsOf(uint64_t offset, uint64_t times);
  // The target ends here: what is read across comes short, by whole blocks of 4096.
  void EndAt(uint64_t size_bytes) { end_bytes_ = size_bytes; }
  // Shares of the target's reads, 0 to 1.
  void ShortenReads(double share) { short_share_ = share; }
  void InterruptReads(double share) { interrupted_share_ = share; }
  void DelayReads(double share, std::chrono::microseconds delay);
  // Opens of the target fail, so many times.
  void FailOpens(uint64_t times, int error_number);
  // Reads and opens are as they should be again.
  void ClearReadFaults();

  static constexpr uint64_t kNever = ~uint64_t{0};
  // Changes from this one on fail (0: the first).
  void FailChangesFrom(uint64_t change, int error_number);
  uint64_t change_count() const { return change_count_; }

  // Faults that reads and opens met so far, and those of them that reads of io_uring met.
  uint64_t uring_fault_count() const { return uring_fault_count_; }
  uint64_t fault_count() const { return fault_count_; }

  int Open(const char* path, int flags, mode_t mode) override;
  int MakeTemporary(char* pattern) override;
  ssize_t Read(int descriptor, void* target, size_t bytes, off_t offset) override;
  ssize_t EndRead(int descriptor, void* target, size_t bytes, off_t offset,
                  ssize_t result) override;
  ssize_t Write(int descriptor, const void* source, size_t bytes, off_t offset) override;
  ssize_t CopyRange(int from, off_t from_offset, int to, off_t to_offset, size_t bytes) override;
  int Allocate(int descriptor, off_t offset, off_t bytes) override;
  int Truncate(int descriptor, off_t bytes) override;
  int MakeDirectory(const char* path, mode_t mode) override;

 private:
  // Each draws its own lots.
  enum class Lot : uint64_t { kDelay, kInterrupt, kShorten, kLength };
  // One read of one place.
  struct ReadCall {
    uint64_t offset = 0;
    size_t bytes = 0;
    uint64_t visit = 0;  // reads that began there before
  };
  // What becomes of a read: an errno, or so many bytes.
  struct Fate {
    int error_number = 0;
    size_t bytes = 0;
  };

  bool IsTarget(int descriptor) const;
  bool OpenFails(const char* path);
  bool ChangeFails();
  Fate DecideRead(uint64_t offset, size_t bytes);
  uint64_t Draw(const ReadCall& call, Lot lot) const;
  bool Happens(const ReadCall& call, Lot lot, double share);
  // Whether a read of this range fails; counts it.
  bool ReadFails(uint64_t offset, uint64_t bytes);
  size_t Shortened(const ReadCall& call);
  bool Replace(uint64_t offset, std::byte* target, uint64_t bytes);

  const uint64_t seed_;
  std::pair<uint64_t, uint64_t> target_{};  // device and inode
  std::map<uint64_t, std::vector<std::byte>> replaced_;
  uint64_t end_bytes_ = kNever;
  double short_share_ = 0;
  double interrupted_share_ = 0;
  double delay_share_ = 0;
  std::chrono::microseconds delay_{0};
  int open_error_ = 0;
  uint64_t first_failing_change_ = kNever;
  int change_error_ = 0;

  std::mutex mutex_;                               // guards the three below
  std::unordered_map<uint64_t, uint64_t> visits_;  // of reads, by where they begin
  std::map<uint64_t, uint64_t> failing_;           // offset: times left
  uint64_t failing_opens_ = 0;
  std::atomic<uint64_t> change_count_{0};
  std::atomic<uint64_t> fault_count_{0};
  std::atomic<uint64_t> uring_fault_count_{0};
};

}  // namespace gguf_shard
