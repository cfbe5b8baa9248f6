#include <nlohmann/json.hpp>

#include "core/crc32.h"
#include "delta/byte_stream.h"
#include "delta/patch.h"

namespace gguf_shard {
namespace {

using Json = nlohmann::ordered_json;

Json FileJson(const PatchFile& file) {
  Json json{{"name", file.name},
            {"bytes", file.byte_size},
            {"sha256", ToHex(file.sha256)},
            {"header", {{"bytes", file.header_bytes}, {"frame", file.header_frame}}}};
  if (file.gaps.empty()) return json;
  Json gaps = Json::array();
  for (const PatchGap& gap : file.gaps) {
    gaps.push_back({{"offset", gap.offset}, {"bytes", gap.byte_size}, {"frame", gap.frame}});
  }
  json["gaps"] = std::move(gaps);
  return json;
}

Json TensorJson(const PatchTensor& tensor) {
  Json json{{"tensor", tensor.name}};
  if (tensor.base_name) json["base"] = *tensor.base_name;
  Json spans = Json::array();
  for (const PatchSpan& span : tensor.spans) {
    Json entry = Json::array({span.byte_size, span.base_offset});
    if (span.frame) entry.push_back(*span.frame);
    spans.push_back(std::move(entry));
  }
  json["spans"] = std::move(spans);
  return json;
}

}  // namespace

std::vector<std::byte> SerializePreamble(const Preamble& preamble) {
  ByteWriter writer;
  writer.PutBytes(AsBytes(std::string_view("SGDELTA\0", 8)));
  writer.Put(kPatchVersion);
  writer.Put(preamble.directory_crc);
  writer.Put(preamble.directory_offset);
  writer.Put(preamble.directory_bytes);
  writer.Put(preamble.json_bytes);
  writer.Put(preamble.frame_count);
  writer.Put(preamble.file_bytes);
  writer.Put(uint32_t{0});
  writer.Put(Crc32(0, writer.bytes()));
  return writer.Take();
}

std::string SerializePatchJson(const Patch& patch) {
  Json base_files = Json::array();
  for (const auto& file : patch.base_files) {
    base_files.push_back({{"name", file.name}, {"bytes", file.byte_size}});
  }
  Json files = Json::array();
  for (const auto& file : patch.files) files.push_back(FileJson(file));
  Json tensors = Json::array();
  for (const auto& tensor : patch.tensors) tensors.push_back(TensorJson(tensor));
  const Json json{{"format", {{"name", "gguf-shard delta"}, {"version", kPatchVersion}}},
                  {"level", DeltaLevelName(patch.level)},
                  {"base", {{"digest", ToHex(patch.base_digest)}, {"files", base_files}}},
                  {"target", {{"digest", ToHex(patch.target_digest)}, {"files", files}}},
                  {"deleted", patch.deleted},
                  {"tensors", tensors}};
  // Names may hold invalid UTF-8; such a patch is refused when its names are compared.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::byte> SerializeFrameTable(const Patch& patch) {
  ByteWriter writer;
  for (const PatchFrame& frame : patch.frames) {
    writer.Put(frame.offset);
    writer.Put(frame.payload_bytes);
    writer.Put(frame.payload_crc);
    writer.Put(frame.target_bytes);
    writer.Put(static_cast<uint16_t>(frame.types.target_type));
    writer.Put(frame.types.base_type ? static_cast<uint16_t>(*frame.types.base_type) : kNoBaseType);
    writer.Put(static_cast<uint32_t>(frame.method));
    writer.Put(uint32_t{0});
  }
  return writer.Take();
}

}  // namespace gguf_shard
