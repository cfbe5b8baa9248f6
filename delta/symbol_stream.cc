#include "delta/symbol_stream.h"

#include <algorithm>

#include "core/check.h"

namespace gguf_shard {
namespace {

// Below this many symbols, the states of seven more lanes cost more than they are worth.
constexpr size_t kMinSymbolsForLanes = 4096;
constexpr size_t kReadChunk = 256;

void PutTable(const FrequencyTable& table, ByteWriter& model) {
  uint32_t left = kProbabilityScale;
  uint32_t next = 0;
  for (uint32_t symbol = 0; left != 0; ++symbol) {
    GS_CHECK(symbol < 256);
    if (table[symbol] == 0) continue;
    model.Put(static_cast<uint8_t>(symbol - next));
    model.PutVarint(table[symbol]);
    next = symbol + 1;
    left -= table[symbol];
  }
}

Result<FrequencyTable> GetTable(ByteReader& model) {
  FrequencyTable table{};
  uint64_t left = kProbabilityScale;
  uint32_t next = 0;
  while (left != 0) {
    GS_ASSIGN(const uint8_t gap, model.Get<uint8_t>());
    GS_ASSIGN(const uint64_t frequency, model.GetVarint(left));
    const uint32_t symbol = next + gap;
    if (symbol > 255 || frequency == 0) {
      return Fail(ErrorCode::kMalformed, "a frequency table of a frame is not valid");
    }
    table[symbol] = static_cast<uint16_t>(frequency);
    left -= frequency;
    next = symbol + 1;
  }
  return table;
}

}  // namespace

std::vector<std::byte> SymbolWriter::Encode(uint32_t max_tables, ByteWriter& model) const {
  const JoinedTables joined =
      JoinContexts(CountSymbols(contexts_, symbols_, context_count_), max_tables);
  model.Put(static_cast<uint8_t>(joined.tables.size()));
  if (joined.tables.empty()) return {};
  model.PutBytes(std::as_bytes(std::span(joined.table_of_context)));
  for (const FrequencyTable& table : joined.tables) PutTable(table, model);
  std::vector<uint8_t> table_of(symbols_.size());
  for (size_t i = 0; i < table_of.size(); ++i) table_of[i] = joined.table_of_context[contexts_[i]];
  const uint32_t lanes = symbols_.size() < kMinSymbolsForLanes ? 1 : kMaxLanes;
  ByteWriter data;
  data.Put(static_cast<uint8_t>(lanes));
  data.PutBytes(RansEncode(symbols_, table_of, joined.tables, lanes));
  return data.Take();
}

Result<SymbolReader> SymbolReader::Create(uint32_t context_count, ByteReader& model,
                                          std::span<const std::byte> data) {
  SymbolReader reader;
  GS_ASSIGN(const uint8_t table_count, model.Get<uint8_t>());
  reader.table_of_context_.assign(context_count, kUnusedContext);
  if (table_count == 0) {
    GS_TRY(ByteReader(data).ExpectEnd());
    return reader;
  }
  GS_ASSIGN(const auto map, model.GetBytes(context_count));
  for (uint32_t c = 0; c < context_count; ++c) {
    const auto table = static_cast<uint8_t>(map[c]);
    if (table >= table_count && table != kUnusedContext) {
      return Fail(ErrorCode::kMalformed, "a context of a frame names a table that is not there");
    }
    reader.table_of_context_[c] = table;
  }
  reader.slots_.resize(size_t{table_count} * kProbabilityScale);
  for (size_t t = 0; t < table_count; ++t) {
    GS_ASSIGN(const FrequencyTable table, GetTable(model));
    BuildSlots(table, std::span(reader.slots_).subspan(t * kProbabilityScale).first<4096>());
  }
  ByteReader bytes(data);
  GS_ASSIGN(const uint8_t lanes, bytes.Get<uint8_t>());
  if (lanes != 1 && lanes != kMaxLanes) {
    return Fail(ErrorCode::kMalformed, "a symbol stream has an unknown number of lanes");
  }
  GS_ASSIGN(reader.decoder_, RansDecoder::Create(data.subspan(1), reader.slots_, lanes));
  return reader;
}

void SymbolReader::Read(const uint16_t* contexts, size_t count, uint8_t* symbols) {
  std::array<uint8_t, kReadChunk> tables;
  for (size_t done = 0; done < count; done += kReadChunk) {
    const size_t chunk = std::min(kReadChunk, count - done);
    uint8_t largest = 0;
    for (size_t i = 0; i < chunk; ++i) {
      tables[i] = table_of_context_[contexts[done + i]];
      largest = std::max(largest, tables[i]);
    }
    if (largest == kUnusedContext || !decoder_) {
      bad_context_ = true;
      std::fill_n(symbols + done, chunk, uint8_t{0});
      continue;
    }
    decoder_->Decode(std::span(tables).first(chunk), symbols + done);
  }
}

Result<void> SymbolReader::Finish() const {
  if (bad_context_) {
    return Fail(ErrorCode::kMalformed, "a frame uses a context that its model does not have");
  }
  return decoder_ ? decoder_->Finish() : Result<void>{};
}

}  // namespace gguf_shard
