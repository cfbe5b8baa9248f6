// Reading a hostile file takes less than 64 MB beyond the bytes of its header, measured by the
// operating system, whatever its counts and lengths claim.
#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>
#include <sstream>

#include "core/bytes.h"
#include "core/gguf.h"
#include "tests/corruption/gguf_image.h"
#include "tests/support/temporary_directory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GS_MEMORY_IS_NOT_OURS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GS_MEMORY_IS_NOT_OURS 1
#endif
#endif

namespace gguf_shard {
namespace {

using enum GgufValueType;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kBoundBytes = 64 * kMiB;

// A line of /proc/self/status, in bytes.
uint64_t StatusBytes(std::string_view label) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, label.size(), label) == 0) {
      return std::stoull(line.substr(label.size() + 1)) * 1024;
    }
  }
  return 0;
}

// Makes the peak of resident memory the present one.
bool ResetPeak() {
  malloc_trim(0);
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;
  return clear.good();
}

class GgufMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef GS_MEMORY_IS_NOT_OURS
    GTEST_SKIP() << "memory is measured without sanitizers";
#endif
    if (!ResetPeak()) GTEST_SKIP() << "the system does not let the peak of memory be reset";
  }

  // The file, continued with a hole up to `file_bytes` (which reads as zeros).
  void Write(const GgufImage& image, uint64_t file_bytes) {
    std::ofstream(path_, std::ios::binary) << image.bytes();
    std::filesystem::resize_file(path_, std::max<uint64_t>(file_bytes, image.bytes().size()));
  }

  // Peak growth of resident memory while the file is read.
  uint64_t MeasureRead(Result<GgufHeader>& result) {
    const auto file = File::OpenRead(path_);
    EXPECT_TRUE(file.has_value());
    EXPECT_TRUE(ResetPeak());
    const uint64_t before_bytes = StatusBytes("VmRSS:");
    EXPECT_GT(before_bytes, 0u);
    result = ReadGgufHeader(*file);
    return StatusBytes("VmHWM:") - std::min(StatusBytes("VmHWM:"), before_bytes);
  }

  void ExpectSmall(uint64_t header_bytes, std::optional<ErrorCode> code) {
    Result<GgufHeader> result;
    const uint64_t grown_bytes = MeasureRead(result);
    EXPECT_LT(grown_bytes, kBoundBytes + header_bytes);
    RecordProperty("grown_mib", static_cast<int>(grown_bytes / kMiB));
    if (code) {
      ASSERT_FALSE(result.has_value());
      EXPECT_EQ(result.error().code(), *code) << result.error().ToString();
    } else {
      EXPECT_TRUE(result.has_value()) << result.error().ToString();
    }
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "hostile.gguf";
};

TEST_F(GgufMemoryTest, TheMeasureSeesMemory) {
  const uint64_t before_bytes = StatusBytes("VmRSS:");
  { const std::vector<char> touched(100 * kMiB, 'x'); }
  EXPECT_GT(StatusBytes("VmHWM:"), before_bytes + 90 * kMiB);
}

TEST_F(GgufMemoryTest, ClaimsBeyondTheFileCostNothing) {
  for (const uint64_t claim : {uint64_t{1} << 40, uint64_t{1} << 60, ~uint64_t{0}}) {
    Write(GgufImage(claim, 0), kMiB);
    ExpectSmall(0, ErrorCode::kTruncated);
    Write(GgufImage(0, claim), kMiB);
    ExpectSmall(0, ErrorCode::kTruncated);
    Write(GgufImage(0, 1).ArrayKey("a", kString, claim), kMiB);
    ExpectSmall(0, ErrorCode::kTruncated);
    Write(GgufImage(0, 1).U64(claim), kMiB);
    ExpectSmall(0, ErrorCode::kTruncated);
  }
}

// With a hole of 64 GiB behind the header no claim is beyond the file.
TEST_F(GgufMemoryTest, ClaimsWithinAHugeFileCostNothing) {
  constexpr uint64_t kFileBytes = uint64_t{64} << 30;
  constexpr uint64_t kClaim = uint64_t{1} << 30;
  Write(GgufImage(kClaim, 0), kFileBytes);
  ExpectSmall(0, ErrorCode::kTooLarge);
  Write(GgufImage(0, kClaim), kFileBytes);
  ExpectSmall(0, ErrorCode::kTooLarge);
  Write(GgufImage(0, 1).U64(kClaim), kFileBytes);  // a key
  ExpectSmall(0, ErrorCode::kTooLarge);
  Write(GgufImage(1, 0).U64(kClaim), kFileBytes);  // a tensor's name
  ExpectSmall(0, ErrorCode::kTooLarge);
  Write(GgufImage(0, 1).Key("a", kString).U64(kClaim), kFileBytes);
  ExpectSmall(0, ErrorCode::kTooLarge);
  Write(GgufImage(0, 1).ArrayKey("a", kString, kClaim), kFileBytes);
  ExpectSmall(0, ErrorCode::kTooLarge);
  Write(GgufImage(0, 1).ArrayKey("a", kFloat64, kClaim), kFileBytes);
  ExpectSmall(0, ErrorCode::kTooLarge);
}

TEST_F(GgufMemoryTest, LongValueCostsItsBytes) {
  constexpr uint64_t kValueBytes = 100 * kMiB;
  const GgufImage text = GgufImage(0, 1).Key("a", kString).U64(kValueBytes);
  Write(text, text.bytes().size() + kValueBytes);
  ExpectSmall(kValueBytes, std::nullopt);
  const GgufImage array = GgufImage(0, 2).ArrayKey("a", kUint64, kValueBytes / 8);
  Write(array, array.bytes().size() + kValueBytes);
  ExpectSmall(kValueBytes, ErrorCode::kTruncated);
}

TEST_F(GgufMemoryTest, MostTensorsCostLittle) {
  GgufImage image(kMaxGgufTensors, 0);
  for (uint64_t i = 0; i < kMaxGgufTensors; ++i) {
    const std::string name = std::to_string(i) + std::string(50, 'n');
    image.Tensor(name, {1, 1, 1, 1}, TensorType::kI8, 32 * i);
  }
  image.Data(32 * kMaxGgufTensors);
  Write(image, 0);
  ExpectSmall(0, std::nullopt);
}

TEST_F(GgufMemoryTest, MostKeysCostLittle) {
  GgufImage image(0, kMaxGgufMetadata);
  for (uint64_t i = 0; i < kMaxGgufMetadata; ++i) {
    image.ArrayKey(std::to_string(i) + std::string(30, 'k'), kUint8, 0);
  }
  Write(image, 0);
  ExpectSmall(0, std::nullopt);
}

}  // namespace
}  // namespace gguf_shard
