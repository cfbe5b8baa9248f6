#include "delta/huffman_code.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>

#include "core/check.h"
#include "delta/tokens.h"

namespace gguf_shard {
namespace {

constexpr uint32_t kSymbols = 256;
constexpr uint32_t kCodeSpace = 1u << kMaxHuffmanBits;

using Symbols = std::array<uint8_t, kSymbols>;

// Depths of the leaves of a Huffman tree over `counts`, which ascend: the two-queue method.
std::array<uint32_t, kSymbols> TreeDepths(const std::array<uint32_t, kSymbols>& counts) {
  std::array<uint32_t, 2 * kSymbols> weight{};
  std::array<uint16_t, 2 * kSymbols> parent{};
  std::copy(counts.begin(), counts.end(), weight.begin());
  uint32_t leaf = 0;
  uint32_t inner = kSymbols;
  const uint32_t root = 2 * kSymbols - 2;
  for (uint32_t node = kSymbols; node <= root; ++node) {
    for (int child = 0; child < 2; ++child) {
      const bool take_leaf = leaf < kSymbols && (inner == node || weight[leaf] <= weight[inner]);
      const uint32_t taken = take_leaf ? leaf++ : inner++;
      weight[node] += weight[taken];
      parent[taken] = static_cast<uint16_t>(node);
    }
  }
  std::array<uint32_t, 2 * kSymbols> depth{};
  for (uint32_t node = root; node-- > 0;) depth[node] = depth[parent[node]] + 1;
  std::array<uint32_t, kSymbols> leaves;
  std::copy_n(depth.begin(), kSymbols, leaves.begin());
  return leaves;
}

// Cuts lengths to the limit and makes the code complete again. `ascending`: rarest first.
void LimitLengths(const Symbols& ascending, std::array<uint8_t, kSymbols>& bits) {
  uint32_t used = 0;
  for (uint8_t& length : bits) {
    length = std::min<uint8_t>(length, kMaxHuffmanBits);
    used += kCodeSpace >> length;
  }
  while (used > kCodeSpace) {
    for (const uint8_t symbol : ascending) {
      if (bits[symbol] == kMaxHuffmanBits || used <= kCodeSpace) continue;
      ++bits[symbol];
      used -= kCodeSpace >> bits[symbol];
    }
  }
  for (auto symbol = ascending.rbegin(); symbol != ascending.rend(); ++symbol) {
    while (bits[*symbol] > 1 && used + (kCodeSpace >> bits[*symbol]) <= kCodeSpace) {
      used += kCodeSpace >> bits[*symbol];
      --bits[*symbol];
    }
  }
  GS_CHECK(used == kCodeSpace);
}

// The longest codes come first, from 0 on; equal lengths in the order of the symbols.
void AssignCodes(HuffmanCode& code) {
  std::array<uint32_t, kMaxHuffmanBits + 2> next{};
  std::array<uint32_t, kMaxHuffmanBits + 1> count{};
  for (const uint8_t length : code.bits) ++count[length];
  uint32_t first = 0;
  for (uint32_t length = kMaxHuffmanBits; length > 0; --length) {
    next[length] = first;
    first = (first + count[length]) / 2;
  }
  for (uint32_t s = 0; s < kSymbols; ++s) {
    code.code[s] = static_cast<uint16_t>(next[code.bits[s]]++);
  }
}

// Finite state entropy coding (RFC 8878, 4.1) of the weights: 12 symbols, 64 states.
constexpr uint32_t kStateBits = 6;
constexpr uint32_t kStates = 1u << kStateBits;
constexpr uint32_t kWeights = kMaxHuffmanBits + 1;
using WeightCounts = std::array<uint32_t, kWeights>;

// Frequencies that add up to kStates, none of a present weight 0.
WeightCounts Normalize(const WeightCounts& counts, uint32_t total) {
  WeightCounts normal{};
  uint32_t sum = 0;
  for (uint32_t w = 0; w < kWeights; ++w) {
    if (counts[w] == 0) continue;
    normal[w] = std::max(1u, counts[w] * kStates / total);
    sum += normal[w];
  }
  for (; sum != kStates; sum += sum < kStates ? 1 : -1) {
    uint32_t& largest = *std::max_element(normal.begin(), normal.end());
    largest += sum < kStates ? 1 : -1;
  }
  return normal;
}

// The table's description: each frequency in as few bits as what is left allows.
void PutFrequencies(const WeightCounts& normal, BitWriter& bits) {
  bits.Put(kStateBits - 5, 4);
  uint32_t remaining = kStates + 1;
  uint32_t threshold = kStates;
  uint32_t width = kStateBits + 1;
  for (uint32_t w = 0; w < kWeights && remaining > 1;) {
    const uint32_t spare = 2 * threshold - 1 - remaining;
    const uint32_t frequency = normal[w++];
    const uint32_t value = frequency + 1 >= threshold ? frequency + 1 + spare : frequency + 1;
    bits.Put(value, value < spare ? width - 1 : width);
    remaining -= frequency;
    for (; remaining < threshold; threshold >>= 1) --width;
    if (frequency != 0) continue;
    uint32_t zeros = 0;
    for (; w < kWeights && normal[w] == 0; ++w) ++zeros;
    for (; zeros >= 3; zeros -= 3) bits.Put(3, 2);
    bits.Put(zeros, 2);
  }
}

class WeightEncoder {
 public:
  explicit WeightEncoder(const WeightCounts& normal) {
    std::array<uint8_t, kStates> spread{};
    uint32_t position = 0;
    uint32_t total = 0;
    WeightCounts next{};
    for (uint32_t w = 0; w < kWeights; ++w) {
      next[w] = total;
      for (uint32_t i = 0; i < normal[w]; ++i) {
        spread[position] = static_cast<uint8_t>(w);
        position = (position + kStates / 2 + kStates / 8 + 3) % kStates;
      }
      if (normal[w] == 0) continue;
      const auto most_bits = kStateBits + 1 - std::max<uint32_t>(1, std::bit_width(normal[w] - 1));
      // A frequency of 1 always gives all bits of the state.
      const uint32_t out_bits = normal[w] == 1 ? kStateBits : most_bits;
      delta_bits_[w] = (out_bits << 16) - (normal[w] << out_bits);
      delta_state_[w] = static_cast<int32_t>(total) - static_cast<int32_t>(normal[w]);
      total += normal[w];
    }
    for (uint32_t i = 0; i < kStates; ++i) {
      states_[next[spread[i]]++] = static_cast<uint8_t>(kStates + i);
    }
  }

  uint32_t Start(uint8_t weight) const {
    const uint32_t bits = (delta_bits_[weight] + (1u << 15)) >> 16;
    return Next(weight, (bits << 16) - delta_bits_[weight], bits);
  }
  void Put(uint8_t weight, uint32_t& state, BitWriter& out) const {
    const uint32_t bits = (state + delta_bits_[weight]) >> 16;
    out.Put(state & ((1u << bits) - 1), bits);
    state = Next(weight, state, bits);
  }

 private:
  uint32_t Next(uint8_t weight, uint32_t state, uint32_t bits) const {
    return states_[static_cast<size_t>(static_cast<int32_t>(state >> bits) + delta_state_[weight])];
  }

  std::array<uint32_t, kWeights> delta_bits_{};
  std::array<int32_t, kWeights> delta_state_{};
  std::array<uint8_t, kStates> states_{};
};

// Two states in turn, last weight first. `weights` has an odd number of them.
void PutWeights(std::span<const uint8_t> weights, const WeightEncoder& encoder, BitWriter& out) {
  size_t left = weights.size();
  GS_CHECK(left % 2 == 1 && left >= 3);
  uint32_t first = encoder.Start(weights[--left]);
  uint32_t second = encoder.Start(weights[--left]);
  encoder.Put(weights[--left], first, out);
  while (left != 0) {
    encoder.Put(weights[--left], second, out);
    encoder.Put(weights[--left], first, out);
  }
  out.Put(second - kStates, kStateBits);
  out.Put(first - kStates, kStateBits);
  out.Put(1, 1);
}

}  // namespace

HuffmanCode MakeHuffmanCode(const std::array<uint32_t, 256>& counts) {
  // What is so rare that it would want a code beyond the limit is taken for as common as the limit
  // stands for: little is left to be cut. Of equal counts, the smaller symbol comes first.
  const uint64_t total = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  const auto rarest = static_cast<uint32_t>(total / kCodeSpace) + 1;
  std::array<uint64_t, kSymbols> keys;
  for (uint32_t s = 0; s < kSymbols; ++s) keys[s] = uint64_t{std::max(counts[s], rarest)} << 8 | s;
  std::sort(keys.begin(), keys.end());
  Symbols ascending;
  std::array<uint32_t, kSymbols> sorted;
  for (uint32_t i = 0; i < kSymbols; ++i) {
    ascending[i] = static_cast<uint8_t>(keys[i]);
    sorted[i] = static_cast<uint32_t>(keys[i] >> 8);
  }
  const auto depths = TreeDepths(sorted);
  HuffmanCode code;
  for (uint32_t i = 0; i < kSymbols; ++i) code.bits[ascending[i]] = static_cast<uint8_t>(depths[i]);
  LimitLengths(ascending, code.bits);
  AssignCodes(code);
  return code;
}

std::vector<std::byte> HuffmanTreeDescription(const HuffmanCode& code) {
  constexpr size_t kMaxBytes = 127;
  const uint32_t longest = *std::max_element(code.bits.begin(), code.bits.end());
  // The last symbol's weight follows from the others.
  std::array<uint8_t, kSymbols - 1> weights;
  WeightCounts counts{};
  for (uint32_t s = 0; s < weights.size(); ++s) {
    weights[s] = static_cast<uint8_t>(longest + 1 - code.bits[s]);
    ++counts[weights[s]];
  }
  if (*std::max_element(counts.begin(), counts.end()) == weights.size()) return {};
  const WeightCounts normal = Normalize(counts, static_cast<uint32_t>(weights.size()));
  BitWriter table;
  PutFrequencies(normal, table);
  std::vector<std::byte> bytes = {std::byte{0}};
  const auto table_bytes = table.Finish();
  bytes.insert(bytes.end(), table_bytes.begin(), table_bytes.end());
  BitWriter out;
  PutWeights(weights, WeightEncoder(normal), out);
  const auto weight_bytes = out.Finish();
  bytes.insert(bytes.end(), weight_bytes.begin(), weight_bytes.end());
  if (bytes.size() - 1 > kMaxBytes) return {};
  bytes[0] = static_cast<std::byte>(bytes.size() - 1);
  return bytes;
}

}  // namespace gguf_shard
