// Sampling: parameters from anywhere are refused or give tokens of the vocabulary, whatever the
// logits are (infinities and NaN among them), and the same ones again.
//
//   input: temperature f32 | top_k u32 | top_p f32 | min_p f32 | penalty f32 | window u32 | seed
//   u64
//          | vocabulary u8 | logits f32 ... | history i32 ...
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "runtime/sampler.h"
#include "tests/fuzz/fuzz.h"

namespace gguf_shard {
namespace {

constexpr size_t kDraws = 4;

class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  // Zero where the input has ended.
  template <typename T>
  T Take() {
    T value{};
    const size_t count = std::min(sizeof(T), bytes_.size());
    if (count > 0) std::memcpy(&value, bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return value;
  }
  bool empty() const { return bytes_.empty(); }

 private:
  std::span<const uint8_t> bytes_;
};

SamplingParams TakeParams(Input& input) {
  SamplingParams params;
  params.temperature = input.Take<float>();
  params.top_k = input.Take<uint32_t>();
  params.top_p = input.Take<float>();
  params.min_p = input.Take<float>();
  params.repetition_penalty = input.Take<float>();
  params.repetition_window = input.Take<uint32_t>();
  params.seed = input.Take<uint64_t>();
  return params;
}

std::vector<TokenId> Draw(const SamplingParams& params, const std::vector<float>& logits,
                          std::vector<TokenId> history) {
  Sampler sampler(params);
  std::vector<TokenId> drawn;
  for (size_t i = 0; i < kDraws; ++i) {
    std::vector<float> copy = logits;
    const TokenId token = sampler.Sample(copy, history);
    GS_FUZZ_EXPECT(token >= 0 && static_cast<size_t>(token) < logits.size());
    history.push_back(token);
    drawn.push_back(token);
  }
  return drawn;
}

}  // namespace
}  // namespace gguf_shard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  using namespace gguf_shard;
  Input input({data, size_bytes});
  const SamplingParams params = TakeParams(input);
  if (const auto checked = CheckSamplingParams(params); !checked) {
    GS_FUZZ_EXPECT(checked.error().code() == ErrorCode::kInvalidArgument);
    return 0;
  }
  std::vector<float> logits(1 + input.Take<uint8_t>());
  for (float& logit : logits) logit = input.Take<float>();
  std::vector<TokenId> history;
  while (!input.empty()) history.push_back(input.Take<TokenId>());
  GS_FUZZ_EXPECT(Draw(params, logits, history) == Draw(params, logits, history));
  return 0;
}
