#include "delta/literal_frame.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/bytes.h"
#include "delta/huffman_streams.h"

namespace gguf_shard {
namespace {

constexpr size_t kBlockHeaderBytes = 3;
constexpr size_t kSectionHeaderBytes = 5;
constexpr size_t kJumpTableBytes = 6;
constexpr size_t kFrameHeaderBytes = 9;
// Blocks below this are not worth a code.
constexpr size_t kMinCodedBytes = 1024;
// One line of each so many is counted.
constexpr size_t kLineBytes = 64;
constexpr size_t kSampledLines = 8;
// Below this mean, symbols want fractions of bits, and repeats are long.
constexpr double kMinMeanBits = 1.5;

enum class BlockType : uint32_t { kRaw = 0, kRepeated = 1, kCompressed = 2 };

using Counts = std::array<uint32_t, 256>;

// Several tables: equal bytes in a row would wait for each other.
Counts CountSample(std::span<const std::byte> bytes) {
  std::array<Counts, 4> part{};
  for (size_t line = 0; line < bytes.size(); line += kLineBytes * kSampledLines) {
    const size_t end = std::min(line + kLineBytes, bytes.size());
    for (size_t i = line; i < end; ++i) ++part[i % 4][static_cast<uint8_t>(bytes[i])];
  }
  Counts counts = part[0];
  for (size_t p = 1; p < part.size(); ++p) {
    for (size_t s = 0; s < counts.size(); ++s) counts[s] += part[p][s];
  }
  return counts;
}

double EntropyBits(const Counts& counts) {
  double total = 0;
  double sum = 0;
  for (const uint32_t count : counts) {
    if (count == 0) continue;
    total += count;
    sum += count * std::log2(count);
  }
  return total * std::log2(total) - sum;
}

bool IsOneByte(std::span<const std::byte> bytes) {
  return std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

class FrameWriter {
 public:
  explicit FrameWriter(size_t byte_size) {
    out_.reserve(byte_size / 2 + kFrameHeaderBytes + kBlockHeaderBytes);
    // A single segment with its size in four bytes, no checksum.
    Put(0xFD2FB528, 4);
    Put(0xA0, 1);
    Put(byte_size, 4);
  }

  void PutBlock(std::span<const std::byte> bytes, const Counts& counts, bool last) {
    if (bytes.size() > 1 && IsOneByte(bytes)) {
      PutBlockHeader(BlockType::kRepeated, bytes.size(), last);
      out_.push_back(bytes[0]);
    } else if (!PutCoded(bytes, counts, last)) {
      PutBlockHeader(BlockType::kRaw, bytes.size(), last);
      out_.insert(out_.end(), bytes.begin(), bytes.end());
    }
  }
  std::vector<std::byte> Take() { return std::move(out_); }

 private:
  void Put(uint64_t value, size_t byte_count) {
    for (size_t i = 0; i < byte_count; ++i) {
      out_.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
  }
  void PutBlockHeader(BlockType type, size_t size, bool last) {
    Put(size << 3 | static_cast<uint32_t>(type) << 1 | (last ? 1 : 0), kBlockHeaderBytes);
  }

  // False, with nothing written, when a code would save next to nothing.
  bool PutCoded(std::span<const std::byte> bytes, const Counts& counts, bool last) {
    if (bytes.size() < kMinCodedBytes) return false;
    const HuffmanCode code = MakeHuffmanCode(counts);
    uint64_t bits = 0;
    uint64_t counted = 0;
    for (size_t s = 0; s < counts.size(); ++s) {
      bits += uint64_t{counts[s]} * code.bits[s];
      counted += counts[s];
    }
    if (bits > counted * 8 / 64 * 62) return false;
    const std::vector<std::byte> tree = HuffmanTreeDescription(code);
    if (tree.empty()) return false;
    thread_local HuffmanRoom room;
    const auto sizes = EncodeHuffman(code, bytes, room);
    size_t section = tree.size() + kJumpTableBytes;
    for (const size_t size : sizes) section += size;
    // One byte more: no sequences.
    const size_t block = kSectionHeaderBytes + section + 1;
    if (block >= bytes.size()) return false;
    PutBlockHeader(BlockType::kCompressed, block, last);
    constexpr uint64_t kCodedInFourStreams = 2 | 3 << 2;
    Put(kCodedInFourStreams | uint64_t{bytes.size()} << 4 | uint64_t{section} << 22,
        kSectionHeaderBytes);
    out_.insert(out_.end(), tree.begin(), tree.end());
    for (size_t s = 0; s + 1 < kHuffmanStreams; ++s) Put(sizes[s], 2);
    for (size_t s = 0; s < kHuffmanStreams; ++s) {
      out_.insert(out_.end(), room[s].begin(),
                  room[s].begin() + static_cast<std::ptrdiff_t>(sizes[s]));
    }
    Put(0, 1);
    return true;
  }

  std::vector<std::byte> out_;
};

}  // namespace

std::optional<std::vector<std::byte>> LiteralFrame(std::span<const std::byte> bytes) {
  if (bytes.empty() || bytes.size() > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  std::vector<Counts> counts;
  double bits = 0;
  double counted = 0;
  for (size_t first = 0; first < bytes.size(); first += kMaxHuffmanBytes) {
    counts.push_back(
        CountSample(bytes.subspan(first, std::min(kMaxHuffmanBytes, bytes.size() - first))));
    bits += EntropyBits(counts.back());
    for (const uint32_t count : counts.back()) counted += count;
  }
  if (bits < counted * kMinMeanBits) return std::nullopt;
  FrameWriter writer(bytes.size());
  for (size_t block = 0; block < counts.size(); ++block) {
    const size_t first = block * kMaxHuffmanBytes;
    writer.PutBlock(bytes.subspan(first, std::min(kMaxHuffmanBytes, bytes.size() - first)),
                    counts[block], block + 1 == counts.size());
  }
  return writer.Take();
}

}  // namespace gguf_shard
