#include "delta/stream_set.h"

#include "delta/zstd.h"

namespace gguf_shard {
namespace {
constexpr int kModelZstdLevel = 19;
}

std::vector<std::byte> StreamWriter::Finish(uint32_t max_tables) {
  ByteWriter model;
  std::vector<std::vector<std::byte>> data;
  for (const SymbolWriter& stream : streams_) data.push_back(stream.Encode(max_tables, model));
  const std::vector<std::byte> raw = raw_.Finish();
  const std::vector<std::byte> packed_model = ZstdCompress(model.bytes(), kModelZstdLevel);
  ByteWriter payload;
  payload.PutVarint(model.bytes().size());
  payload.PutVarint(packed_model.size());
  for (const auto& bytes : data) payload.PutVarint(bytes.size());
  payload.PutVarint(raw.size());
  payload.PutBytes(packed_model);
  for (const auto& bytes : data) payload.PutBytes(bytes);
  payload.PutBytes(raw);
  return payload.Take();
}

Result<StreamReader> StreamReader::Create(std::span<const uint32_t> context_counts,
                                          std::span<const std::byte> payload) {
  ByteReader bytes(payload);
  GS_ASSIGN(const uint64_t model_bytes, bytes.GetVarint(kMaxModelBytes));
  GS_ASSIGN(const uint64_t packed_bytes, bytes.GetVarint(payload.size()));
  std::vector<uint64_t> data_bytes;
  for (size_t i = 0; i < context_counts.size(); ++i) {
    GS_ASSIGN(const uint64_t size, bytes.GetVarint(payload.size()));
    data_bytes.push_back(size);
  }
  GS_ASSIGN(const uint64_t raw_bytes, bytes.GetVarint(payload.size()));
  GS_ASSIGN(const auto packed_model, bytes.GetBytes(packed_bytes));
  std::vector<std::byte> model(model_bytes);
  GS_TRY(ZstdDecompress(packed_model, model));
  std::vector<std::span<const std::byte>> data;
  for (const uint64_t size : data_bytes) {
    GS_ASSIGN(const auto span, bytes.GetBytes(size));
    data.push_back(span);
  }
  GS_ASSIGN(const auto raw, bytes.GetBytes(raw_bytes));
  GS_TRY(bytes.ExpectEnd());
  StreamReader reader(raw);
  ByteReader model_reader(model);
  for (size_t i = 0; i < context_counts.size(); ++i) {
    GS_ASSIGN(SymbolReader stream, SymbolReader::Create(context_counts[i], model_reader, data[i]));
    reader.streams_.push_back(std::move(stream));
  }
  GS_TRY(model_reader.ExpectEnd());
  return reader;
}

Result<void> StreamReader::Finish() const {
  for (const SymbolReader& stream : streams_) GS_TRY(stream.Finish());
  return raw_.Finish();
}

}  // namespace gguf_shard
