// The page tag: golden bytes, agreement with zlib, and every single-bit fault.
#include "core/page.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <vector>

#include "core/bytes.h"
#include "core/crc32.h"

namespace gguf_shard {
namespace {

CoreId TestId() {
  CoreId id;
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<std::byte>(i + 1);
  return id;
}

std::vector<std::byte> TestPage() {
  std::vector<std::byte> page(kPageBytes);
  for (size_t i = 0; i < kPageContentBytes; ++i) page[i] = static_cast<std::byte>(i * 7 + i / 256);
  return page;
}

uint32_t ZlibTag(const CoreId& id, uint64_t page_index, const std::byte* content) {
  std::byte context[16];
  std::memcpy(context, id.data(), 8);
  std::memcpy(context + 8, &page_index, 8);
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(context), 16);
  return static_cast<uint32_t>(crc32(crc, reinterpret_cast<const Bytef*>(content), 4088));
}

TEST(Crc32, EqualsZlibForEveryLengthAndAlignment) {
  std::vector<std::byte> bytes(700);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + 5);
  for (size_t start = 0; start < 17; ++start) {
    for (size_t length = 0; start + length <= bytes.size(); length += (length < 80 ? 1 : 37)) {
      const auto* data = reinterpret_cast<const Bytef*>(bytes.data() + start);
      EXPECT_EQ(Crc32(0x12345678, std::span(bytes).subspan(start, length)),
                crc32(0x12345678, data, static_cast<uInt>(length)));
    }
  }
}

TEST(Crc32, KnownVector) { EXPECT_EQ(Crc32(0, AsBytes("123456789")), 0xCBF43926u); }

TEST(Page, TagIsZlibsCrcOfContextThenContent) {
  auto page = TestPage();
  const uint64_t page_index = 0x0102030405060708;
  const uint32_t crc = SealPage(TestId(), page_index, PageAt(page.data(), 0));
  EXPECT_EQ(crc, ZlibTag(TestId(), page_index, page.data()));
  EXPECT_EQ(std::memcmp(page.data() + 4092, "PGCR", 4), 0);
  EXPECT_EQ(LoadLe<uint32_t>(page.data() + 4088), crc);
}

TEST(Page, GoldenTag) {
  // python3: zlib.crc32(bytes(4088), zlib.crc32(bytes(16)))
  std::vector<std::byte> page(kPageBytes);
  EXPECT_EQ(SealPage(CoreId{}, 0, PageAt(page.data(), 0)), 0xFA1218F7u);
}

TEST(Page, IntactPagePassesOnlyAtItsPlaceInItsCore) {
  auto page = TestPage();
  SealPage(TestId(), 7, PageAt(page.data(), 0));
  const auto sealed = PageAt(std::as_const(page).data(), 0);
  EXPECT_TRUE(CheckPage(TestId(), 7, sealed).has_value());
  EXPECT_FALSE(PageIsIntact(TestId(), 8, sealed));
  CoreId other = TestId();
  other[7] = std::byte{99};
  EXPECT_FALSE(PageIsIntact(other, 7, sealed));
}

TEST(Page, EverySingleBitFlipIsDetected) {
  auto page = TestPage();
  SealPage(TestId(), 3, PageAt(page.data(), 0));
  for (size_t bit = 0; bit < kPageBytes * 8; ++bit) {
    page[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    ASSERT_FALSE(PageIsIntact(TestId(), 3, PageAt(page.data(), 0))) << "bit " << bit;
    page[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

TEST(Page, ErrorNamesPageAndBothCrcs) {
  auto page = TestPage();
  const uint32_t stored = SealPage(TestId(), 3, PageAt(page.data(), 0));
  page[0] ^= std::byte{1};
  const uint32_t computed = ZlibTag(TestId(), 3, page.data());
  const auto checked = CheckPage(TestId(), 3, PageAt(page.data(), 0));
  ASSERT_FALSE(checked.has_value());
  EXPECT_EQ(checked.error().code(), ErrorCode::kChecksumMismatch);
  EXPECT_EQ(checked.error().page_index(), 3u);
  EXPECT_EQ(std::stoul(checked.error().expected(), nullptr, 16), computed);
  EXPECT_EQ(std::stoul(checked.error().found(), nullptr, 16), stored);
}

TEST(CoreIdHex, RoundTripsAndRefusesOtherText) {
  const auto id = CoreIdFromHex(CoreIdToHex(TestId()));
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(*id, TestId());
  EXPECT_FALSE(CoreIdFromHex("0102").has_value());
  EXPECT_FALSE(CoreIdFromHex(std::string(32, 'g')).has_value());
}

}  // namespace
}  // namespace gguf_shard
