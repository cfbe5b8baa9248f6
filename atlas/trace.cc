#include "atlas/trace.h"

#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "core/bytes.h"

namespace gguf_shard {
namespace {

constexpr std::array<char, 8> kMagic = {'G', 'S', 'T', 'R', 'A', 'C', 'E', '\n'};
constexpr uint64_t kHeaderBytes = 8 + 4 + 4 + 16;
constexpr uint64_t kShardBytes = 8;
constexpr uint32_t kScheduledFlag = 1;
constexpr size_t kBufferBytes = 64 * 1024;

Error TraceError(ErrorCode code, const char* sentence, uint64_t offset) {
  return Error(code, sentence).Offset(offset);
}

class Parser {
 public:
  explicit Parser(std::span<const std::byte> bytes) : bytes_(bytes) {}

  Result<Trace> Parse() {
    GS_TRY(ParseHeader());
    while (true) {
      const uint64_t start = at_;
      GS_ASSIGN(const uint32_t record, Varint());
      if (record > 0) {
        GS_TRY(AddUse(record - 1, start));
        continue;
      }
      GS_ASSIGN(const uint32_t token_count, Varint());
      if (token_count == 0) break;
      trace_.passes.push_back({token_count, trace_.uses.size()});
    }
    if (at_ == bytes_.size()) return std::move(trace_);
    return Fail(TraceError(ErrorCode::kMalformed, "bytes follow the end of the trace", at_));
  }

 private:
  Result<void> ParseHeader() {
    if (bytes_.size() < kHeaderBytes) return Truncated(bytes_.size());
    if (std::memcmp(bytes_.data(), kMagic.data(), kMagic.size()) != 0) {
      return Fail(TraceError(ErrorCode::kMalformed, "not a trace", 0));
    }
    const auto version = LoadLe<uint32_t>(bytes_.data() + 8);
    if (version != kTraceVersion) {
      return Fail(TraceError(ErrorCode::kUnsupported, "a trace of another version", 8)
                      .Expected(kTraceVersion)
                      .Found(version));
    }
    const auto shard_count = LoadLe<uint32_t>(bytes_.data() + 12);
    std::memcpy(trace_.core_id.data(), bytes_.data() + 16, 16);
    at_ = kHeaderBytes;
    if ((bytes_.size() - at_) / kShardBytes < shard_count) return Truncated(bytes_.size());
    trace_.shards.reserve(shard_count);
    for (uint32_t i = 0; i < shard_count; ++i, at_ += kShardBytes) {
      const auto flags = LoadLe<uint32_t>(bytes_.data() + at_ + 4);
      if (flags > kScheduledFlag) {
        return Fail(TraceError(ErrorCode::kMalformed, "a shard with unknown flags", at_ + 4));
      }
      trace_.shards.push_back({LoadLe<uint32_t>(bytes_.data() + at_), flags == kScheduledFlag});
    }
    return {};
  }

  Result<void> AddUse(uint32_t shard, uint64_t offset) {
    if (trace_.passes.empty()) {
      return Fail(TraceError(ErrorCode::kMalformed, "a shard is used before any pass", offset));
    }
    if (shard >= trace_.shards.size()) {
      return Fail(TraceError(ErrorCode::kMalformed, "a shard that the trace does not have", offset)
                      .Expected("below " + std::to_string(trace_.shards.size()))
                      .Found(shard));
    }
    trace_.uses.push_back(shard);
    return {};
  }

  Result<uint32_t> Varint() {
    const uint64_t start = at_;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      if (at_ == bytes_.size()) return Fail(Truncated(at_).error());
      const auto byte = static_cast<uint8_t>(bytes_[at_++]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80u) != 0) continue;
      if (byte == 0 && shift > 0) break;  // not the shortest form
      if (value > std::numeric_limits<uint32_t>::max()) break;
      return static_cast<uint32_t>(value);
    }
    return Fail(TraceError(ErrorCode::kMalformed, "a number in the wrong form", start));
  }

  static Result<void> Truncated(uint64_t offset) {
    return Fail(TraceError(ErrorCode::kTruncated, "the trace ends before its end record", offset));
  }

  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  Trace trace_;
};

}  // namespace

std::span<const uint32_t> Trace::UsesOf(size_t pass_index) const {
  const size_t begin = passes[pass_index].first_use;
  const size_t end =
      pass_index + 1 < passes.size() ? passes[pass_index + 1].first_use : uses.size();
  return std::span(uses).subspan(begin, end - begin);
}

Result<Trace> ParseTrace(std::span<const std::byte> bytes) { return Parser(bytes).Parse(); }

Result<Trace> ReadTrace(const std::filesystem::path& path) {
  GS_ASSIGN(const std::string text, ReadWholeFile(path, kMaxTraceBytes));
  auto trace = ParseTrace(AsBytes(text));
  if (!trace) trace.error().SetFileIfEmpty(path.string());
  return trace;
}

Result<TraceWriter> TraceWriter::Create(const std::filesystem::path& path, const CoreMap& map,
                                        std::span<const uint32_t> scheduled_tensors) {
  GS_ASSIGN(OutputFile output, OutputFile::Create(path, Overwrite::kAllow));
  TraceWriter writer(std::move(output));
  writer.buffer_.reserve(kBufferBytes + 64);
  std::vector<bool> scheduled(map.tensors.size(), false);
  for (const uint32_t tensor : scheduled_tensors) scheduled[tensor] = true;
  for (const char c : kMagic) writer.PutFixed(c);
  writer.PutFixed(kTraceVersion);
  writer.PutFixed(static_cast<uint32_t>(map.shard_count()));
  for (const auto byte : map.core.id) writer.PutFixed(byte);
  for (size_t i = 0; i < map.tensors.size(); ++i) {
    const TensorLayout& layout = map.tensors[i].layout;
    for (uint64_t slice = 0; slice < layout.slice_count; ++slice) {
      writer.PutFixed(static_cast<uint32_t>(layout.pages_per_slice));
      writer.PutFixed(scheduled[i] ? kScheduledFlag : 0u);
    }
  }
  return writer;
}

template <typename T>
void TraceWriter::PutFixed(T value) {
  const size_t size = buffer_.size();
  buffer_.resize(size + sizeof value);
  StoreLe(buffer_.data() + size, value);
  if (buffer_.size() >= kBufferBytes) Flush();
}

void TraceWriter::PutVarint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    buffer_.push_back(static_cast<std::byte>(value & 0x7f) | std::byte{0x80});
  }
  buffer_.push_back(static_cast<std::byte>(value));
  if (buffer_.size() >= kBufferBytes) Flush();
}

void TraceWriter::BeginPass(uint32_t token_count) {
  PutVarint(0);
  PutVarint(token_count);
}

void TraceWriter::Use(uint64_t shard_id) { PutVarint(shard_id + 1); }

void TraceWriter::Flush() {
  if (outcome_) outcome_ = output_.WriteAt(written_bytes_, buffer_);
  written_bytes_ += buffer_.size();
  buffer_.clear();
}

Result<void> TraceWriter::Finish() {
  PutVarint(0);
  PutVarint(0);
  Flush();
  GS_TRY(outcome_);
  return output_.Commit();
}

}  // namespace gguf_shard
