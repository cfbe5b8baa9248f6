// The one layer below File, OutputFile and EditFile: every open, read, write, sync, rename and
// removal of the project goes through the FileOperations that are current. Normally these are the
// system's own calls; tests and `validate` put fault-injecting ones in their place.
//
// Each function behaves as the system call it is named after: -1 (or a short count) and errno on
// failure. Replacing the current operations is for one thread while no other uses files; the
// operations themselves are called from many threads at once.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace gguf_shard {

class FileOperations {
 public:
  virtual ~FileOperations() = default;

  virtual int Open(const char* path, int flags, mode_t mode);
  virtual int MakeTemporary(char* pattern);  // mkostemp
  virtual int Close(int descriptor);
  virtual ssize_t Read(int descriptor, void* target, size_t bytes, off_t offset);
  // A read that io_uring did has ended so: the bytes read, or a negated errno. What comes back is
  // what the reader takes for the result; `target` holds the bytes.
  virtual ssize_t EndRead(int descriptor, void* target, size_t bytes, off_t offset, ssize_t result);
  virtual ssize_t Write(int descriptor, const void* source, size_t bytes, off_t offset);
  virtual ssize_t CopyRange(int from, off_t from_offset, int to, off_t to_offset, size_t bytes);
  virtual int Allocate(int descriptor, off_t offset, off_t bytes);
  virtual int Truncate(int descriptor, off_t bytes);
  virtual int Sync(int descriptor);           // of a file
  virtual int SyncDirectory(int descriptor);  // of a folder: its names
  virtual int Link(const char* from, const char* to);
  // Gives an unnamed file (O_TMPFILE) its first name.
  virtual int LinkDescriptor(int descriptor, const char* to);
  virtual int Rename(const char* from, const char* to);
  virtual int Unlink(const char* path);
  virtual int MakeDirectory(const char* path, mode_t mode);
};

FileOperations& CurrentFileOperations();

// Puts other operations in place for as long as it lives.
class ScopedFileOperations {
 public:
  explicit ScopedFileOperations(FileOperations& operations);
  ~ScopedFileOperations();
  ScopedFileOperations(const ScopedFileOperations&) = delete;
  ScopedFileOperations& operator=(const ScopedFileOperations&) = delete;

 private:
  FileOperations* before_;
};

}  // namespace gguf_shard
