#include "delta/undo_journal.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/crc32.h"
#include "core/edit_file.h"
#include "core/map.h"
#include "delta/byte_stream.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kMagic("SGUNDO\0\0", 8);
constexpr uint32_t kVersion = 2;
constexpr uint64_t kFixedBytes = 56;
constexpr uint64_t kRecordBytes = 24;
constexpr uint64_t kMaxRecordBytes = uint64_t{4} << 20;

struct JournalHeader {
  uint64_t core_bytes = 0;
  uint64_t record_count = 0;
  JournalSubject subject;
  uint64_t first_record = 0;
};

struct Record {
  uint64_t offset = 0;
  uint64_t byte_size = 0;
  uint32_t crc = 0;
};

// Ascending, without overlap, inside the file, no longer than a record may be.
std::vector<ByteRange> Records(std::vector<ByteRange> ranges, uint64_t file_bytes) {
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
  std::vector<ByteRange> records;
  uint64_t next = 0;
  for (const ByteRange& range : ranges) {
    const uint64_t end = std::min(range.offset + range.byte_size, file_bytes);
    for (next = std::max(next, range.offset); next < end;) {
      const uint64_t byte_size = std::min(kMaxRecordBytes, end - next);
      records.push_back({next, byte_size});
      next += byte_size;
    }
  }
  return records;
}

std::vector<std::byte> SerializeHeader(const JournalHeader& header) {
  ByteWriter rest;
  rest.Put(header.core_bytes);
  rest.Put(static_cast<uint64_t>(header.subject.map_text.size()));
  rest.Put(header.record_count);
  rest.PutBytes(header.subject.after);
  rest.PutBytes(AsBytes(header.subject.map_text));
  ByteWriter writer;
  writer.PutBytes(AsBytes(kMagic));
  writer.Put(kVersion);
  writer.Put(Crc32(0, rest.bytes()));
  writer.PutBytes(rest.bytes());
  return writer.Take();
}

Error Damaged() { return Error(ErrorCode::kChecksumMismatch, "the undo data is damaged"); }

Result<JournalHeader> ReadHeader(const File& journal) {
  if (journal.size_bytes() < kFixedBytes) return Fail(Damaged());
  std::vector<std::byte> fixed(kFixedBytes);
  GS_TRY(journal.ReadAt(0, fixed));
  if (AsText(std::span(fixed).first(8)) != kMagic ||
      LoadLe<uint32_t>(fixed.data() + 8) != kVersion) {
    return Fail(Damaged());
  }
  JournalHeader header;
  header.core_bytes = LoadLe<uint64_t>(fixed.data() + 16);
  const auto map_bytes = LoadLe<uint64_t>(fixed.data() + 24);
  header.record_count = LoadLe<uint64_t>(fixed.data() + 32);
  std::copy_n(fixed.begin() + 40, header.subject.after.size(), header.subject.after.begin());
  if (map_bytes > kMaxMapBytes || map_bytes > journal.size_bytes() - kFixedBytes) {
    return Fail(Damaged());
  }
  std::vector<std::byte> map_text(map_bytes);
  GS_TRY(journal.ReadAt(kFixedBytes, map_text));
  const uint32_t crc = Crc32(Crc32(0, std::span(fixed).subspan(16)), map_text);
  if (crc != LoadLe<uint32_t>(fixed.data() + 12)) return Fail(Damaged());
  header.subject.map_text = AsText(map_text);
  header.first_record = kFixedBytes + map_bytes;
  return header;
}

// Calls `use` with every record and its checked bytes.
template <typename Use>
Result<void> ForEachRecord(const File& journal, const JournalHeader& header, const Use& use) {
  uint64_t position = header.first_record;
  std::vector<std::byte> bytes;
  for (uint64_t i = 0; i < header.record_count; ++i) {
    std::vector<std::byte> head(kRecordBytes);
    GS_TRY(journal.ReadAt(position, head));
    const auto offset = LoadLe<uint64_t>(head.data());
    const auto byte_size = LoadLe<uint64_t>(head.data() + 8);
    if (byte_size > kMaxRecordBytes || offset > header.core_bytes ||
        byte_size > header.core_bytes - offset) {
      return Fail(Damaged());
    }
    bytes.resize(byte_size);
    GS_TRY(journal.ReadAt(position + kRecordBytes, bytes));
    if (Crc32(Crc32(0, std::span(head).first(16)), bytes) != LoadLe<uint32_t>(head.data() + 16)) {
      return Fail(Damaged());
    }
    GS_TRY(use(offset, bytes));
    position += kRecordBytes + byte_size;
  }
  return {};
}

}  // namespace

Result<void> WriteJournal(const File& core, const JournalSubject& subject,
                          std::vector<ByteRange> ranges,
                          const std::filesystem::path& journal_path) {
  const auto records = Records(std::move(ranges), core.size_bytes());
  const auto header = SerializeHeader({core.size_bytes(), records.size(), subject, 0});
  uint64_t total_bytes = header.size();
  for (const ByteRange& record : records) total_bytes += kRecordBytes + record.byte_size;
  const auto parent = journal_path.parent_path();
  GS_TRY(CheckFreeSpace(parent.empty() ? "." : parent, total_bytes));
  GS_ASSIGN(OutputFile output, OutputFile::Create(journal_path, Overwrite::kRefuse));
  GS_TRY(output.WriteAt(0, header));
  uint64_t position = header.size();
  std::vector<std::byte> bytes;
  for (const ByteRange& record : records) {
    bytes.resize(record.byte_size);
    GS_TRY(core.ReadAt(record.offset, bytes));
    ByteWriter head;
    head.Put(record.offset);
    head.Put(record.byte_size);
    head.Put(Crc32(Crc32(0, head.bytes()), bytes));
    head.Put(uint32_t{0});
    GS_TRY(output.WriteAt(position, head.bytes()));
    GS_TRY(output.WriteAt(position + kRecordBytes, bytes));
    position += kRecordBytes + record.byte_size;
  }
  return output.Commit();
}

Result<JournalCores> ReadJournalCores(const std::filesystem::path& journal_path) {
  GS_ASSIGN(const File journal, File::OpenRead(journal_path));
  GS_ASSIGN(const JournalHeader header, ReadHeader(journal));
  GS_ASSIGN(const CoreMap before, ParseMap(header.subject.map_text));
  return JournalCores{before.core.id, header.subject.after};
}

Result<std::string> RollBack(const std::filesystem::path& journal_path, EditFile& core,
                             Progress& progress) {
  GS_ASSIGN(const File journal, File::OpenRead(journal_path));
  GS_ASSIGN(JournalHeader header, ReadHeader(journal));
  GS_TRY(ForEachRecord(journal, header,
                       [](uint64_t, std::span<const std::byte>) -> Result<void> { return {}; }));
  progress.Start("undoing", journal.size_bytes());
  GS_TRY(ForEachRecord(journal, header,
                       [&](uint64_t offset, std::span<const std::byte> bytes) -> Result<void> {
                         progress.Advance(bytes.size());
                         return core.WriteAt(offset, bytes);
                       }));
  GS_TRY(core.Resize(header.core_bytes));
  GS_TRY(core.Sync());
  progress.Finish();
  return std::move(header.subject.map_text);
}

}  // namespace gguf_shard
