// What File, OutputFile and EditFile share: opening, exact reads and writes at a position, syncing
// a folder, and the one place where an errno becomes an Error. Private to core's file classes.
//
// Whatever is read, a header, a map, a patch or pages, is read in the same way: what comes short is
// read on, what a signal interrupts or the disk refuses is tried again, so many times and no more
// (a disk that never ends interrupting is an error too, not a hang).
// Thread-safety: functions over the caller's descriptors.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/error.h"

namespace gguf_shard {

// "cannot WHAT: the system's words", with the code that fits the number.
Error SystemError(std::string_view what, const std::filesystem::path& path, int error_number);

// kTruncated with the bytes asked for and got where the file ends before them.
Result<void> ReadExactly(int descriptor, const std::filesystem::path& path, uint64_t offset,
                         std::span<std::byte> target);
Result<void> WriteExactly(int descriptor, const std::filesystem::path& path, uint64_t offset,
                          std::span<const std::byte> bytes);

// open(2); -1 and errno once it has failed too often.
int OpenPatiently(const char* path, int flags, mode_t mode);

std::filesystem::path DirectoryOf(const std::filesystem::path& path);
// Makes the names in a folder durable.
Result<void> SyncDirectory(const std::filesystem::path& directory);

}  // namespace gguf_shard
