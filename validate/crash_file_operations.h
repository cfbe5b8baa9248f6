// A simulated crash: lets the first `crash_at` changes of the file system happen, then nothing more
// (the process is dead, whatever it still tries), and finally takes back what was never synced.
//
// A change is a write, a resize, a reservation, a sync, a new name or folder, a rename or a
// removal. What is not synced when the crash comes may or may not have reached the disk:
//   - of a file's bytes, any subset of the writes since its last sync, and any prefix of the write
//     that the crash interrupts;
//   - of a folder's names, any prefix of the changes since its last sync (file systems keep their
//     order). The contents of a file do not follow from its name being there; a folder that is lost
//     takes all that was in it with it, synced or not.
// LoseUnsynced chooses by seed and puts the files into that state.
//
// Works on real files: what it takes back it kept in memory, so the files should be small. Removed
// and replaced files are kept under hidden names until they are safely gone. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/file_operations.h"

namespace gguf_shard {

class CrashFileOperations final : public FileOperations {
 public:
  // Never crashes when `crash_at` is kNever; then change_count() says how many there were.
  static constexpr uint64_t kNever = ~uint64_t{0};
  CrashFileOperations(uint64_t crash_at, uint64_t seed);
  ~CrashFileOperations() override;

  uint64_t change_count() const { return change_count_; }
  bool crashed() const { return crashed_; }
  // After the crash, with no operation running: the state in which the next start finds the disk.
  void LoseUnsynced();

  int Open(const char* path, int flags, mode_t mode) override;
  int MakeTemporary(char* pattern) override;
  ssize_t Read(int descriptor, void* target, size_t bytes, off_t offset) override;
  ssize_t Write(int descriptor, const void* source, size_t bytes, off_t offset) override;
  ssize_t CopyRange(int from, off_t from_offset, int to, off_t to_offset, size_t bytes) override;
  int Allocate(int descriptor, off_t offset, off_t bytes) override;
  int Truncate(int descriptor, off_t bytes) override;
  int Sync(int descriptor) override;
  int SyncDirectory(int descriptor) override;
  int Link(const char* from, const char* to) override;
  int LinkDescriptor(int descriptor, const char* to) override;
  int Rename(const char* from, const char* to) override;
  int Unlink(const char* path) override;
  int MakeDirectory(const char* path, mode_t mode) override;

 private:
  using FileId = std::pair<uint64_t, uint64_t>;  // device, inode
  // What a write or a resize replaced.
  struct OldBytes {
    uint64_t offset = 0;
    uint64_t byte_size = 0;   // of the change
    uint64_t file_bytes = 0;  // the file's size before
    std::vector<char> bytes;  // what was there, as far as the file reached
  };
  struct PendingFile {
    int descriptor = -1;  // of our own: the file may lose its name
    std::vector<OldBytes> changes;
  };
  // One change of a folder's names.
  struct NameChange {
    enum class Kind : uint8_t { kAdded, kRemoved, kRenamed, kMadeDirectory } kind;
    std::string name;
    std::string old_name;  // kRenamed
    std::string kept_as;   // where the removed or replaced file is kept; may be empty
  };

  // Counts a change; false when it must not happen. Sets `torn` for the one that crashes.
  bool Allowed(bool* torn = nullptr);
  void Remember(int descriptor, uint64_t offset, uint64_t bytes);
  std::string KeepAside(const std::string& path);
  void AddNameChange(NameChange change);
  void TakeBack(const NameChange& change);
  void LoseWrites(PendingFile& file);

  mutable std::mutex mutex_;  // guards everything below
  uint64_t crash_at_;
  uint64_t change_count_ = 0;
  uint64_t kept_count_ = 0;
  bool crashed_ = false;
  std::mt19937_64 random_;
  std::map<FileId, PendingFile> files_;
  std::map<FileId, std::vector<NameChange>> folders_;  // by the folder's own id, in order
};

}  // namespace gguf_shard
