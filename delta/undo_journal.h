// The journal of an in-place change: the old bytes of everything that will be overwritten. Format:
// delta/in_place.h. For one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/edit_file.h"
#include "core/error.h"
#include "core/file.h"
#include "core/page.h"
#include "core/progress.h"

namespace gguf_shard {

struct ByteRange {
  uint64_t offset = 0;
  uint64_t byte_size = 0;
};

// The states between which a journal stands.
struct JournalCores {
  CoreId before{};
  CoreId after{};
};

// What a journal restores: the text of the map before, and which core comes afterwards.
struct JournalSubject {
  std::string map_text;
  CoreId after{};
};

// Saves `ranges` of the file (cut at its end) and the subject, durably, as `journal_path`.
Result<void> WriteJournal(const File& core, const JournalSubject& subject,
                          std::vector<ByteRange> ranges, const std::filesystem::path& journal_path);

Result<JournalCores> ReadJournalCores(const std::filesystem::path& journal_path);

// Writes everything back and returns the text of the map. May be repeated after a crash. Nothing is
// written unless all of the journal is intact.
Result<std::string> RollBack(const std::filesystem::path& journal_path, EditFile& core,
                             Progress& progress);

}  // namespace gguf_shard
