#include "delta/symbol_stream.h"

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace gguf_shard {
namespace {

// Below this many symbols, the states of 31 more lanes cost more than they are worth.
constexpr size_t kMinSymbolsForLanes = 16384;
// Frequencies of long streams are multiples of this where it costs next to nothing: the tables that
// a reader makes of them are as much smaller.
constexpr uint32_t kFrequencyUnit = 4;

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

// The largest shift for which all frequencies are multiples.
uint32_t SlotShift(std::span<const FrequencyTable> tables) {
  uint32_t all = 0;
  for (const FrequencyTable& table : tables) {
    for (const uint16_t frequency : table) all |= frequency;
  }
  return std::min(static_cast<uint32_t>(std::countr_zero(all)), kMaxSlotShift);
}

}  // namespace

std::vector<std::byte> SymbolWriter::Encode(uint32_t max_tables, ByteWriter& model) const {
  const uint32_t lanes = symbols_.size() < kMinSymbolsForLanes ? 1 : kMaxLanes;
  const JoinedTables joined = JoinContexts(CountSymbols(contexts_, symbols_, context_count_),
                                           max_tables, lanes == 1 ? 1 : kFrequencyUnit);
  model.Put(static_cast<uint8_t>(joined.tables.size()));
  if (joined.tables.empty()) return {};
  model.PutBytes(std::as_bytes(std::span(joined.table_of_context)));
  for (const FrequencyTable& table : joined.tables) PutTable(table, model);
  ByteWriter data;
  data.Put(static_cast<uint8_t>(lanes));
  data.PutBytes(RansEncode(symbols_, contexts_, joined.table_of_context, joined.tables, lanes));
  return data.Take();
}

Result<SymbolReader> SymbolReader::Create(uint32_t context_count, ByteReader& model,
                                          std::span<const std::byte> data) {
  SymbolReader reader;
  GS_ASSIGN(const uint8_t table_count, model.Get<uint8_t>());
  if (table_count == 0) {
    GS_TRY(ByteReader(data).ExpectEnd());
    return reader;
  }
  GS_ASSIGN(const auto map, model.GetBytes(context_count));
  std::vector<FrequencyTable> tables(table_count);
  for (FrequencyTable& table : tables) {
    GS_ASSIGN(table, GetTable(model));
  }
  const uint32_t shift = SlotShift(tables);
  reader.table_slots_ = kProbabilityScale >> shift;
  reader.first_slot_.resize(context_count + kContextPadding);
  for (uint32_t c = 0; c < context_count; ++c) {
    const auto table = static_cast<uint8_t>(map[c]);
    if (table >= table_count && table != kUnusedContext) {
      return Fail(ErrorCode::kMalformed, "a context of a frame names a table that is not there");
    }
    reader.first_slot_[c] = std::min(table, table_count) * reader.table_slots_;
  }
  reader.slots_.resize((size_t{table_count} + 1) * reader.table_slots_);
  for (size_t t = 0; t < table_count; ++t) {
    BuildSlots(tables[t], shift,
               std::span(reader.slots_).subspan(t * reader.table_slots_, reader.table_slots_));
  }
  ByteReader bytes(data);
  GS_ASSIGN(const uint8_t lanes, bytes.Get<uint8_t>());
  if (lanes != 1 && lanes != kMaxLanes) {
    return Fail(ErrorCode::kMalformed, "a symbol stream has an unknown number of lanes");
  }
  GS_ASSIGN(
      reader.decoder_,
      RansDecoder::Create(data.subspan(1), {reader.slots_, reader.first_slot_, shift}, lanes));
  return reader;
}

void SymbolReader::Read(const uint16_t* contexts, size_t count, uint8_t* symbols) {
  if (decoder_) return decoder_->Decode(contexts, count, symbols);
  bad_context_ = true;
  std::fill_n(symbols, count, uint8_t{0});
}

Result<void> SymbolReader::Finish() const {
  const bool unused_seen =
      decoder_ && decoder_->largest_first_slot() + table_slots_ == slots_.size();
  if (bad_context_ || unused_seen) {
    return Fail(ErrorCode::kMalformed, "a frame uses a context that its model does not have");
  }
  return decoder_ ? decoder_->Finish() : Result<void>{};
}

}  // namespace gguf_shard
