#include "atlas/vulkan_tag_check.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "gpu/buffer.h"
#include "tests/gpu/vulkan_fixture.h"

namespace gguf_shard {
namespace {

CoreId RandomId(std::mt19937_64& random) {
  CoreId id;
  for (std::byte& byte : id) byte = static_cast<std::byte>(random());
  return id;
}

class VulkanTagCheckTest : public gpu::VulkanTest {
 protected:
  void Prepare(const CoreId& id, uint32_t page_count) {
    auto check = VulkanTagCheck::Create(*device_, id);
    ASSERT_TRUE(check) << check.error().ToString();
    check_ = std::make_unique<VulkanTagCheck>(std::move(*check));
    pages_ = Allocate(uint64_t{page_count} * kPageBytes);
    results_ = Allocate(uint64_t{page_count} * sizeof(TagResult));
    page_count_ = page_count;
  }
  void TearDown() override {
    check_.reset();
    pages_ = gpu::Buffer();
    results_ = gpu::Buffer();
  }
  gpu::Buffer Allocate(uint64_t bytes) {
    auto buffer = gpu::Buffer::Allocate(*device_, gpu::MemoryKind::kReadback, bytes);
    EXPECT_TRUE(buffer);
    return std::move(*buffer);
  }
  std::span<std::byte, kPageBytes> Page(uint64_t index) { return PageAt(pages_.mapped(), index); }
  std::vector<TagResult> Check(uint64_t first_page, uint32_t page_count) {
    auto commands = device_->compute_queue().Begin();
    EXPECT_TRUE(commands);
    check_->Record(*commands, pages_.address(), first_page, page_count, results_.address());
    const auto point = device_->compute_queue().Submit(std::move(*commands));
    EXPECT_TRUE(point);
    EXPECT_TRUE(device_->compute_queue().Wait(point->value));
    std::vector<TagResult> results(page_count);
    std::memcpy(results.data(), results_.mapped(), page_count * sizeof(TagResult));
    return results;
  }

  std::unique_ptr<VulkanTagCheck> check_;
  gpu::Buffer pages_;
  gpu::Buffer results_;
  uint32_t page_count_ = 0;
};

TEST_F(VulkanTagCheckTest, EqualsTheProcessorsTagForEveryPlace) {
  std::mt19937_64 random(7);
  for (const uint64_t first_page :
       {uint64_t{0}, uint64_t{1}, uint64_t{123456}, (uint64_t{1} << 32) - 3, uint64_t{1} << 40}) {
    const CoreId id = RandomId(random);
    Prepare(id, 37);
    for (uint32_t i = 0; i < 37; ++i) {
      for (std::byte& byte : Page(i)) byte = static_cast<std::byte>(random());
      if (i % 5 == 0) std::memset(Page(i).data(), i, kPageContentBytes);
      SealPage(id, first_page + i, Page(i));
    }
    const auto results = Check(first_page, 37);
    for (uint32_t i = 0; i < 37; ++i) {
      EXPECT_EQ(results[i].computed_crc,
                PageCrc(id, first_page + i, Page(i).first<kPageContentBytes>()));
      EXPECT_EQ(results[i].stored_crc, StoredPageCrc(Page(i)));
      EXPECT_TRUE(results[i].is_good()) << i;
    }
    // The same bytes at another place are wrong.
    for (const TagResult& result : Check(first_page + 1, 36)) EXPECT_FALSE(result.is_good());
  }
}

TEST_F(VulkanTagCheckTest, CatchesTenThousandFlippedBits) {
  std::mt19937_64 random(11);
  const CoreId id = RandomId(random);
  constexpr uint32_t kPages = 250;
  Prepare(id, kPages);
  for (uint32_t i = 0; i < kPages; ++i) {
    for (std::byte& byte : Page(i)) byte = static_cast<std::byte>(random());
    SealPage(id, 900 + i, Page(i));
  }
  uint32_t caught = 0;
  for (uint32_t round = 0; round < 40; ++round) {
    std::vector<uint32_t> bits;
    for (uint32_t i = 0; i < kPages; ++i) {
      bits.push_back(static_cast<uint32_t>(random() % (kPageBytes * 8)));
      Page(i)[bits[i] / 8] ^= static_cast<std::byte>(1 << (bits[i] % 8));
    }
    for (const TagResult& result : Check(900, kPages)) caught += result.is_good() ? 0 : 1;
    for (uint32_t i = 0; i < kPages; ++i) {
      Page(i)[bits[i] / 8] ^= static_cast<std::byte>(1 << (bits[i] % 8));
    }
  }
  EXPECT_EQ(caught, 40 * kPages);
  for (const TagResult& result : Check(900, kPages)) EXPECT_TRUE(result.is_good());
}

}  // namespace
}  // namespace gguf_shard
