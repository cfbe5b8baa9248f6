// 10,000 single flipped bits, one at a time: in the file, in the memory that a read filled, and in
// the slot on the device. Each has to be caught by the check on the device, after one more read.
// GGUF_SHARD_FLIPS sets another number, for each of the places.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>

#include "core/core_file.h"
#include "tests/atlas/synthetic_core.h"
#include "tests/atlas/vulkan_atlas_fixture.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

enum class Place { kFile, kReadMemory, kSlot };

struct Case {
  Place place;
  TransferMethod method;
};

constexpr Case kCases[] = {
    {Place::kFile, TransferMethod::kDirect},         {Place::kFile, TransferMethod::kImported},
    {Place::kReadMemory, TransferMethod::kImported}, {Place::kReadMemory, TransferMethod::kUpload},
    {Place::kSlot, TransferMethod::kDirect},         {Place::kSlot, TransferMethod::kImported}};
constexpr uint32_t kCaseCount = 6;
static_assert(std::size(kCases) == kCaseCount);
constexpr uint32_t kPages = 64;

// Of all places together unless the environment says how many for each.
uint32_t FlipsPerCase() {
  constexpr uint32_t kPlaces = 3;
  const char* wish = std::getenv("GGUF_SHARD_FLIPS");
  const int flips = wish == nullptr ? 10'000 : static_cast<int>(kPlaces) * std::atoi(wish);
  return static_cast<uint32_t>(std::max(1, flips)) / kCaseCount + 1;
}

// Reads a file, and flips the bit that it is told to in what passes by.
class Flipper final : public PageSource, public SlotHook {
 public:
  Flipper(const CoreFile& core, Place place)
      : core_(core), below_(MakeCorePageSource(core)), place_(place) {}

  // From now on, until Mend.
  void Flip(uint64_t page, uint32_t bit) {
    bit_ = bit;
    armed_ = true;
    reads_ = 0;
    if (place_ == Place::kFile) FlipInFile(page);
  }
  void Mend(uint64_t page) {
    armed_ = false;
    if (place_ == Place::kFile) FlipInFile(page);
  }

  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
    ++reads_;
    GS_TRY(below_->Read(first_page, target));
    if (place_ == Place::kReadMemory) FlipIn(target);
    return {};
  }
  std::string Describe() const override { return "flipped bits"; }
  void BeforeCheck(uint64_t, std::span<std::byte> slots) override {
    if (place_ == Place::kSlot) FlipIn(slots);
  }
  uint32_t reads() const { return reads_; }

 private:
  void FlipIn(std::span<std::byte> page) const {
    if (armed_) page[bit_ / 8] ^= static_cast<std::byte>(1 << (bit_ % 8));
  }
  void FlipInFile(uint64_t page) const {
    const auto at = static_cast<std::streamoff>(core_.page_offset(page) + bit_ / 8);
    std::fstream file(core_.map_path().parent_path() / kCoreFileName,
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ (1 << (bit_ % 8))));
    ASSERT_TRUE(file.good());
  }

  const CoreFile& core_;
  std::unique_ptr<PageSource> below_;
  const Place place_;
  std::atomic<uint32_t> bit_{0};
  std::atomic<bool> armed_{false};
  std::atomic<uint32_t> reads_{0};
};

class FlippedBits : public gpu::VulkanTest {
 protected:
  FlippedBits() {
    SyntheticModel model;
    model.AddMatrix("pages", 1, 1, kPages);  // a run to each page
    WriteSyntheticCore(std::move(model), folder_.path());
  }
  TemporaryDirectory folder_;
};

TEST_F(FlippedBits, AreAllCaughtWhereverTheyArise) {
  auto core = CoreFile::Open(folder_.path());
  ASSERT_TRUE(core);
  PageSummer summer(*device_);
  uint64_t caught = 0;
  for (const Case c : kCases) {
    Random random(77);
    Flipper source(*core, c.place);
    VulkanAtlasOptions options;
    options.transfer = c.method;
    options.slot_hook = &source;
    options.memory_bytes = VulkanAtlas::ResidentMemoryBytes(core->map(), *device_, options);
    auto atlas = VulkanAtlas::Open(core->map(), source, *device_, {}, options);
    ASSERT_TRUE(atlas) << atlas.error().ToString();
    const uint32_t flips = FlipsPerCase();
    for (uint32_t i = 0; i < flips; ++i) {
      const uint32_t run = i % kPages;
      const uint64_t page = (*atlas)->run_table().run(run).first_page;
      source.Flip(page, random.Below(kPageBytes * 8));
      const auto needed = (*atlas)->Need(run);
      (*atlas)->EndWave({});
      source.Mend(page);
      ASSERT_FALSE(needed) << "flip " << i;
      ASSERT_EQ(needed.error().code(), ErrorCode::kChecksumMismatch);
      ASSERT_EQ(needed.error().page_index(), page);
      ASSERT_EQ(source.reads(), 2u);
      ++caught;
    }
    // None of it is shown; and what is whole again is loaded.
    ASSERT_TRUE((*atlas)->Publish());
    std::byte guard[kPageBytes];
    std::memset(guard, 0xFF, sizeof guard);
    for (const bool mended : {false, true}) {
      const auto page = static_cast<uint32_t>((*atlas)->run_table().run(5).first_page);
      if (mended) {
        ASSERT_TRUE((*atlas)->Need(5));
        ASSERT_TRUE((*atlas)->Publish());
      }
      const auto point = summer.Submit((*atlas)->page_table_address(), std::span(&page, size_t{1}));
      ASSERT_TRUE(device_->compute_queue().Wait(point.value));
      std::byte whole[kPageBytes];
      SyntheticModel::FillPage(page, whole);
      EXPECT_EQ(summer.Sum(0), PageSummer::SumOf(mended ? whole : guard));
    }
    (*atlas)->EndWave({});
  }
  EXPECT_EQ(caught, uint64_t{FlipsPerCase()} * kCaseCount);
}

}  // namespace
}  // namespace gguf_shard
