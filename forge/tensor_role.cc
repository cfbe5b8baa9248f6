#include "forge/tensor_role.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace gguf_shard {
namespace {

using enum TensorUse;

struct NamedStep {
  std::string_view stem;
  TensorUse use;
};

// In order of use. A stem is the name without "blk.N." and without its last part (".weight").
constexpr std::array kInputSteps = {
    NamedStep{"token_embd", kGathered},
    NamedStep{"per_layer_token_embd", kGathered},
    NamedStep{"position_embd", kGathered},
    NamedStep{"token_types", kGathered},
    NamedStep{"token_embd_norm", kSmallVector},
    NamedStep{"per_layer_model_proj", kMatrix},
    NamedStep{"per_layer_proj_norm", kSmallVector},
    NamedStep{"rope_freqs", kSmallVector},
    NamedStep{"rope_factors_long", kSmallVector},
    NamedStep{"rope_factors_short", kSmallVector},
};

constexpr std::array kLayerSteps = {
    NamedStep{"attn_norm", kSmallVector},
    NamedStep{"attn_norm_2", kSmallVector},
    NamedStep{"attn_qkv", kMatrix},
    NamedStep{"attn_q_a", kMatrix},
    NamedStep{"attn_q_a_norm", kSmallVector},
    NamedStep{"attn_q_b", kMatrix},
    NamedStep{"attn_q", kMatrix},
    NamedStep{"attn_q_norm", kSmallVector},
    NamedStep{"attn_kv_a_mqa", kMatrix},
    NamedStep{"attn_kv_a_norm", kSmallVector},
    NamedStep{"attn_kv_b", kMatrix},
    NamedStep{"attn_k_b", kMatrix},
    NamedStep{"attn_k", kMatrix},
    NamedStep{"attn_k_norm", kSmallVector},
    NamedStep{"attn_v_b", kMatrix},
    NamedStep{"attn_v", kMatrix},
    NamedStep{"rope_freqs", kSmallVector},
    NamedStep{"rope_factors_long", kSmallVector},
    NamedStep{"rope_factors_short", kSmallVector},
    NamedStep{"attn_sinks", kSmallVector},
    NamedStep{"attn_sub_norm", kSmallVector},
    NamedStep{"attn_gate", kMatrix},
    NamedStep{"attn_output", kMatrix},
    NamedStep{"attn_output_norm", kSmallVector},
    NamedStep{"attn_post_norm", kSmallVector},
    NamedStep{"post_attention_norm", kSmallVector},
    NamedStep{"ffn_norm", kSmallVector},
    NamedStep{"ffn_gate_inp", kRouter},
    NamedStep{"exp_probs_b", kSmallVector},
    NamedStep{"ffn_gate_up_exps", kExperts},
    NamedStep{"ffn_gate_exps", kExperts},
    NamedStep{"ffn_up_exps", kExperts},
    NamedStep{"ffn_down_exps", kExperts},
    NamedStep{"ffn_gate_inp_shexp", kRouter},
    NamedStep{"ffn_gate_shexp", kMatrix},
    NamedStep{"ffn_up_shexp", kMatrix},
    NamedStep{"ffn_down_shexp", kMatrix},
    NamedStep{"ffn_gate", kMatrix},
    NamedStep{"ffn_up", kMatrix},
    NamedStep{"ffn_sub_norm", kSmallVector},
    NamedStep{"ffn_down", kMatrix},
    NamedStep{"ffn_post_norm", kSmallVector},
    NamedStep{"post_ffw_norm", kSmallVector},
    NamedStep{"layer_output_norm", kSmallVector},
};

constexpr std::array kOutputSteps = {
    NamedStep{"output_norm", kSmallVector},
    NamedStep{"output", kMatrix},
    NamedStep{"cls", kMatrix},
    NamedStep{"cls.output", kMatrix},
};

enum Section : uint32_t { kInput, kEncoderLayers, kLayers, kOutput, kUnknown };

// "blk.12.attn_q.weight" is layer 12 and rest "attn_q.weight"; also behind "enc." and "dec.".
struct LayerName {
  uint32_t layer;
  std::string_view rest;
};
std::optional<LayerName> SplitLayer(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  uint32_t layer = 0;
  const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), layer);
  // The map accepts layers up to 2^20.
  if (status != std::errc() || layer > (1u << 20)) return std::nullopt;
  name.remove_prefix(static_cast<size_t>(end - name.data()));
  if (!name.starts_with('.')) return std::nullopt;
  return LayerName{layer, name.substr(1)};
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Drops ".weight" or ".bias", then the expert's number of old mixtures ("ffn_gate.3.weight").
std::string_view StemOf(std::string_view name) {
  const auto drop_last_part = [&name] { name = name.substr(0, name.rfind('.')); };
  if (name.ends_with(".weight") || name.ends_with(".bias")) drop_last_part();
  const auto dot = name.rfind('.');
  if (dot != std::string_view::npos && IsNumber(name.substr(dot + 1))) drop_last_part();
  return name;
}

template <size_t kCount>
std::optional<uint32_t> StepOf(const std::array<NamedStep, kCount>& steps, std::string_view stem) {
  const auto found = std::find_if(steps.begin(), steps.end(),
                                  [stem](const NamedStep& step) { return step.stem == stem; });
  if (found == steps.end()) return std::nullopt;
  return static_cast<uint32_t>(found - steps.begin());
}

// The use of a name that is not in the table: some shapes of names are telling.
TensorUse GuessUse(std::string_view stem) {
  if (stem.ends_with("_norm") || stem.ends_with("norm")) return kSmallVector;
  if (stem.ends_with("_exps")) return kExperts;
  if (stem.starts_with("rope_f")) return kSmallVector;
  return kMatrix;
}

template <size_t kCount>
bool Place(const std::array<NamedStep, kCount>& steps, Section section, std::string_view stem,
           TensorRole& role) {
  const auto step = StepOf(steps, stem);
  if (!step) return false;
  role.key.section = section;
  role.key.step = *step;
  role.use = steps[*step].use;
  return true;
}

void PlaceInLayer(std::string_view stem, Section section, uint32_t layer, TensorRole& role) {
  role.use = GuessUse(stem);
  role.layer = layer;
  role.key.step = kLayerSteps.size();
  Place(kLayerSteps, section, stem, role);
  role.key.section = section;
  role.key.layer = layer;
}

void PlaceOutsideLayers(std::string_view stem, TensorRole& role) {
  if (Place(kInputSteps, kInput, stem, role)) return;
  if (Place(kOutputSteps, kOutput, stem, role)) return;
  role.use = GuessUse(stem);
  role.key.section = kUnknown;
}

}  // namespace

TensorRole TensorRoleOf(std::string_view name) {
  const bool encoder = name.starts_with("enc.");
  std::string_view rest = name;
  if (encoder || name.starts_with("dec.")) rest.remove_prefix(4);
  TensorRole role;
  if (const auto layered = SplitLayer(rest)) {
    PlaceInLayer(StemOf(layered->rest), encoder ? kEncoderLayers : kLayers, layered->layer, role);
  } else {
    PlaceOutsideLayers(StemOf(rest), role);
  }
  // Biases of matrices and experts are vectors, added whole.
  if (name.ends_with(".bias")) role.use = kSmallVector;
  return role;
}

}  // namespace gguf_shard
