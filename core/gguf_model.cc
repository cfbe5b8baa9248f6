#include "core/gguf_model.h"

#include <fmt/format.h>

#include <charconv>
#include <unordered_map>

namespace gguf_shard {
namespace {

constexpr std::string_view kSplitNo = "split.no";
constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitTensorsCount = "split.tensors.count";
constexpr std::string_view kArchitecture = "general.architecture";

// What a part's file name says: PREFIX-00001-of-00003.gguf (numbers count from 1).
struct SplitName {
  std::string prefix;
  uint64_t number;
  uint64_t count;

  std::string Part(uint64_t part_index) const {
    return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part_index + 1, count);
  }
};

std::optional<uint64_t> FiveDigits(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + 5, number);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return number;
}

std::optional<SplitName> ParseSplitName(std::string_view name) {
  constexpr std::string_view kPattern = "-00001-of-00003.gguf";
  if (name.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = name.substr(name.size() - kPattern.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") {
    return std::nullopt;
  }
  const auto number = FiveDigits(tail.substr(1));
  const auto count = FiveDigits(tail.substr(10));
  if (!number || !count) return std::nullopt;
  return SplitName{std::string(name.substr(0, name.size() - kPattern.size())), *number, *count};
}

Result<GgufPart> OpenPart(const std::filesystem::path& path) {
  GS_ASSIGN(File file, File::OpenRead(path));
  GS_ASSIGN(GgufHeader header, ReadGgufHeader(file));
  return GgufPart{path, std::move(file), std::move(header)};
}

// 0 when the key is absent: the file is no part of a split.
Result<uint64_t> SplitCount(const GgufHeader& header) {
  if (header.Find(kSplitCount) == nullptr) return 0;
  return header.GetUint(kSplitCount);
}

// A key of a part that must have one certain value.
Result<void> ExpectUint(const GgufPart& part, std::string_view key, uint64_t expected) {
  auto found = part.header.GetUint(key);
  if (!found) {
    found.error().SetFileIfEmpty(part.path.string());
    return Fail(std::move(found).error());
  }
  if (*found == expected) return {};
  return Fail(Error(ErrorCode::kMismatch,
                    fmt::format("a file does not belong to this split: its {} is another", key))
                  .File(part.path.string())
                  .Expected(expected)
                  .Found(*found));
}

// Later parts usually leave the model's metadata out; where they have it, it must agree.
Result<void> ExpectSameArchitecture(const GgufPart& first, const GgufPart& part) {
  const GgufValue* value = part.header.Find(kArchitecture);
  const GgufValue* expected = first.header.Find(kArchitecture);
  if (value == nullptr || expected == nullptr || value->AsString() == expected->AsString()) {
    return {};
  }
  return Fail(Error(ErrorCode::kMismatch,
                    "a file does not belong to this split: its architecture is another")
                  .File(part.path.string())
                  .Expected(std::string(expected->AsString().value_or("")))
                  .Found(std::string(value->AsString().value_or(""))));
}

Result<void> CheckPart(const std::vector<GgufPart>& parts, size_t part_index, uint64_t count) {
  const GgufPart& part = parts[part_index];
  GS_TRY(ExpectUint(part, kSplitCount, count));
  GS_TRY(ExpectUint(part, kSplitNo, part_index));
  return ExpectSameArchitecture(parts.front(), part);
}

// The name of the split that `part`, of `count` parts, belongs to.
Result<SplitName> NameOfSplit(const GgufPart& part, uint64_t count) {
  if (count > kMaxGgufParts) {
    return Fail(Error(ErrorCode::kTooLarge, "the model is split into too many files")
                    .File(part.path.string())
                    .Expected(fmt::format("at most {}", kMaxGgufParts))
                    .Found(count));
  }
  auto name = ParseSplitName(part.path.filename().string());
  if (name && name->count == count && name->number >= 1 && name->number <= count) {
    return *std::move(name);
  }
  return Fail(
      Error(ErrorCode::kMismatch, "the file is a part of a split, but its name does not say which")
          .File(part.path.string())
          .Expected(fmt::format("a name that ends in -NNNNN-of-{:05}.gguf", count)));
}

Result<std::vector<GgufPart>> OpenSplit(GgufPart opened, uint64_t count) {
  GS_ASSIGN(const SplitName name, NameOfSplit(opened, count));
  const std::filesystem::path directory = opened.path.parent_path();
  const std::string opened_name = opened.path.filename().string();
  std::vector<GgufPart> parts;
  for (size_t i = 0; i < count; ++i) {
    if (name.Part(i) == opened_name) {
      parts.push_back(std::move(opened));
    } else {
      auto part = OpenPart(directory / name.Part(i));
      if (!part && part.error().code() == ErrorCode::kNotFound) {
        return Fail(Error(ErrorCode::kNotFound,
                          fmt::format("part {} of {} of the split model is missing", i + 1, count))
                        .File((directory / name.Part(i)).string()));
      }
      if (!part) return Fail(std::move(part).error());
      parts.push_back(*std::move(part));
    }
    GS_TRY(CheckPart(parts, i, count));
  }
  return parts;
}

Result<void> CheckTensorCount(const GgufModel& model) {
  for (const GgufPart& part : model.parts) {
    if (part.header.Find(kSplitTensorsCount) == nullptr) continue;
    GS_TRY(ExpectUint(part, kSplitTensorsCount, model.tensors.size()));
  }
  return {};
}

Result<void> ListTensors(GgufModel& model) {
  std::unordered_map<std::string_view, size_t> part_of_name;
  for (size_t i = 0; i < model.parts.size(); ++i) {
    const GgufHeader& header = model.parts[i].header;
    for (const GgufTensor& tensor : header.tensors) {
      const auto [known, is_new] = part_of_name.emplace(tensor.name, i);
      if (!is_new) {
        return Fail(Error(ErrorCode::kMismatch,
                          fmt::format("a tensor of this part is in {} too",
                                      model.parts[known->second].path.filename().string()))
                        .File(model.parts[i].path.string())
                        .Tensor(tensor.name));
      }
      model.tensors.push_back({i, &tensor, header.data_offset + tensor.data_offset});
    }
  }
  return {};
}

}  // namespace

uint64_t GgufModel::total_file_bytes() const {
  uint64_t total = 0;
  for (const GgufPart& part : parts) total += part.file.size_bytes();
  return total;
}

Result<GgufModel> OpenGgufModel(const std::filesystem::path& path) {
  GS_ASSIGN(GgufPart opened, OpenPart(path));
  auto count = SplitCount(opened.header);
  if (!count) {
    count.error().SetFileIfEmpty(path.string());
    return Fail(std::move(count).error());
  }
  GgufModel model;
  if (*count <= 1) {
    model.parts.push_back(std::move(opened));
  } else {
    GS_ASSIGN(model.parts, OpenSplit(std::move(opened), *count));
  }
  GS_TRY(ListTensors(model));
  GS_TRY(CheckTensorCount(model));
  return model;
}

}  // namespace gguf_shard
