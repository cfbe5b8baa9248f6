#include "runtime/hyperparameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace gguf_shard {
namespace {

// Reads the keys of one architecture: `Uint("block_count")` is "llama.block_count".
class KeyReader {
 public:
  KeyReader(const GgufHeader& header, std::string_view architecture)
      : header_(header), architecture_(architecture) {}

  std::string FullKey(std::string_view key) const {
    return fmt::format("{}.{}", architecture_, key);
  }

  // A whole number from 1 to `limit`. An array is accepted when all its elements are equal.
  Result<uint32_t> Uint(std::string_view key, uint64_t limit) const {
    const std::string name = FullKey(key);
    const GgufValue* value = header_.Find(name);
    if (value == nullptr) {
      return Fail(ErrorCode::kNotFound, fmt::format("the metadata lacks {}", name));
    }
    GS_ASSIGN(const uint64_t number, ToUint(name, *value));
    if (number == 0 || number > limit) {
      return Fail(Error(ErrorCode::kMalformed, fmt::format("{} is out of range", name))
                      .Expected(fmt::format("1 to {}", limit))
                      .Found(number));
    }
    return static_cast<uint32_t>(number);
  }

  Result<uint32_t> UintOr(std::string_view key, uint64_t limit, uint32_t fallback) const {
    if (header_.Find(FullKey(key)) == nullptr) return fallback;
    return Uint(key, limit);
  }

  // A finite number above zero.
  Result<double> Float(std::string_view key) const {
    const std::string name = FullKey(key);
    GS_ASSIGN(const double number, header_.GetFloat(name));
    if (!std::isfinite(number) || number <= 0) {
      return Fail(Error(ErrorCode::kMalformed, fmt::format("{} is not a positive number", name))
                      .Found(fmt::format("{}", number)));
    }
    return number;
  }

  Result<double> FloatOr(std::string_view key, double fallback) const {
    if (header_.Find(FullKey(key)) == nullptr) return fallback;
    return Float(key);
  }

  Result<std::string_view> TextOr(std::string_view key, std::string_view fallback) const {
    const std::string name = FullKey(key);
    if (header_.Find(name) == nullptr) return fallback;
    return header_.GetString(name);
  }

  bool Has(std::string_view key) const { return header_.Find(FullKey(key)) != nullptr; }

 private:
  static Result<uint64_t> ToUint(const std::string& name, const GgufValue& value) {
    if (const auto number = value.AsUint()) return *number;
    const auto array = value.AsArray();
    const auto numbers = array ? array->Ints() : std::nullopt;
    if (!numbers || numbers->empty()) {
      return Fail(ErrorCode::kMalformed, fmt::format("{} is not a whole number", name));
    }
    const bool uniform = std::all_of(numbers->begin(), numbers->end(),
                                     [&](int64_t element) { return element == numbers->front(); });
    if (!uniform || numbers->front() < 0) {
      return Fail(ErrorCode::kUnsupported, fmt::format("{} differs from layer to layer", name));
    }
    return static_cast<uint64_t>(numbers->front());
  }

  const GgufHeader& header_;
  std::string architecture_;
};

Result<void> ReadAttention(const KeyReader& keys, Hyperparameters& numbers) {
  GS_ASSIGN(numbers.head_count, keys.Uint("attention.head_count", kMaxHeads));
  GS_ASSIGN(numbers.head_count_kv,
            keys.UintOr("attention.head_count_kv", kMaxHeads, numbers.head_count));
  if (numbers.head_count % numbers.head_count_kv != 0) {
    return Fail(ErrorCode::kMalformed,
                fmt::format("{} attention heads do not divide among {} key/value heads",
                            numbers.head_count, numbers.head_count_kv));
  }
  const uint32_t even_share = numbers.embedding_length / numbers.head_count;
  GS_ASSIGN(numbers.key_length, keys.UintOr("attention.key_length", kMaxWidth, even_share));
  GS_ASSIGN(numbers.value_length, keys.UintOr("attention.value_length", kMaxWidth, even_share));
  const uint64_t longest = std::max(numbers.key_length, numbers.value_length);
  if (numbers.key_length == 0 || numbers.value_length == 0 ||
      longest * numbers.head_count > kMaxWidth) {
    return Fail(ErrorCode::kMalformed,
                fmt::format("{} heads of {} values are out of range", numbers.head_count, longest));
  }
  return {};
}

Result<void> ReadYarn(const KeyReader& keys, uint32_t context_length, RopeParameters& rope) {
  GS_ASSIGN(rope.original_context,
            keys.FloatOr("rope.scaling.original_context_length", context_length));
  GS_ASSIGN(rope.attention_factor, keys.FloatOr("rope.scaling.attn_factor", 1));
  GS_ASSIGN(rope.extrapolation_mix, keys.FloatOr("rope.scaling.yarn_ext_factor", 1));
  GS_ASSIGN(rope.beta_fast, keys.FloatOr("rope.scaling.yarn_beta_fast", 32));
  GS_ASSIGN(rope.beta_slow, keys.FloatOr("rope.scaling.yarn_beta_slow", 1));
  if (rope.frequency_base <= 1) {
    return Fail(ErrorCode::kMalformed, "YaRN needs a rope.freq_base above 1");
  }
  return {};
}

Result<void> ReadRope(const KeyReader& keys, Hyperparameters& numbers) {
  RopeParameters& rope = numbers.rope;
  GS_ASSIGN(rope.dimensions, keys.UintOr("rope.dimension_count", kMaxWidth, numbers.key_length));
  if (rope.dimensions % 2 != 0 || rope.dimensions > numbers.key_length) {
    return Fail(Error(ErrorCode::kMalformed,
                      fmt::format("{} does not fit a head", keys.FullKey("rope.dimension_count")))
                    .Expected(fmt::format("an even number up to {}", numbers.key_length))
                    .Found(rope.dimensions));
  }
  GS_ASSIGN(rope.frequency_base, keys.FloatOr("rope.freq_base", 10000));
  GS_ASSIGN(const std::string_view type, keys.TextOr("rope.scaling.type", "linear"));
  if (type == "none") return {};
  // The old name of the factor stands for linear scaling.
  const std::string_view factor_key =
      keys.Has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  GS_ASSIGN(rope.factor, keys.FloatOr(factor_key, 1));
  if (type == "linear") {
    if (rope.factor != 1) rope.scaling = RopeScaling::kLinear;
    return {};
  }
  if (type != "yarn") {
    return Fail(ErrorCode::kUnsupported, fmt::format("rope scaling of type '{}'", type));
  }
  rope.scaling = RopeScaling::kYarn;
  return ReadYarn(keys, numbers.context_length, rope);
}

Result<void> ReadExperts(const GgufHeader& header, const KeyReader& keys,
                         Hyperparameters& numbers) {
  const GgufValue* count = header.Find(keys.FullKey("expert_count"));
  if (count == nullptr || count->AsUint() == 0) return {};
  GS_ASSIGN(numbers.expert_count, keys.Uint("expert_count", kMaxExperts));
  GS_ASSIGN(numbers.expert_used_count, keys.Uint("expert_used_count", numbers.expert_count));
  GS_ASSIGN(numbers.expert_feed_forward_length,
            keys.UintOr("expert_feed_forward_length", kMaxWidth, numbers.feed_forward_length));
  return {};
}

}  // namespace

Result<Hyperparameters> ReadHyperparameters(const GgufHeader& header) {
  Hyperparameters numbers;
  GS_ASSIGN(numbers.architecture, header.GetString("general.architecture"));
  const KeyReader keys(header, numbers.architecture);
  GS_ASSIGN(numbers.layer_count, keys.Uint("block_count", kMaxLayers));
  GS_ASSIGN(numbers.context_length, keys.Uint("context_length", kMaxContext));
  GS_ASSIGN(numbers.embedding_length, keys.Uint("embedding_length", kMaxWidth));
  GS_ASSIGN(numbers.feed_forward_length, keys.UintOr("feed_forward_length", kMaxWidth, 0));
  GS_ASSIGN(const double epsilon, keys.Float("attention.layer_norm_rms_epsilon"));
  numbers.rms_epsilon = static_cast<float>(epsilon);
  GS_TRY(ReadAttention(keys, numbers));
  GS_TRY(ReadRope(keys, numbers));
  GS_TRY(ReadExperts(header, keys, numbers));
  if (numbers.expert_count == 0 && numbers.feed_forward_length == 0) {
    return Fail(ErrorCode::kNotFound,
                fmt::format("the metadata lacks {}", keys.FullKey("feed_forward_length")));
  }
  return numbers;
}

}  // namespace gguf_shard
