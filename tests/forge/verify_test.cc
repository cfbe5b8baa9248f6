// Everything that can be wrong with a core is found and named, all of it.
#include "forge/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/core_file.h"
#include "tests/forge/core_damage.h"

namespace gguf_shard {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Verify : public testing::Test {
 protected:
  Result<VerifyReport> TryCheck(VerifyDepth depth) {
    NoProgress progress;
    return VerifyCore(model_.map_path(), depth, progress);
  }
  VerifyReport Check(VerifyDepth depth = VerifyDepth::kStandard) {
    auto report = TryCheck(depth);
    EXPECT_TRUE(report.has_value()) << report.error().ToString();
    return report ? *std::move(report) : VerifyReport();
  }
  uint64_t PageOf(std::string_view tensor) { return model_.tensor(tensor).first_page; }

  ShardedModel model_;
};

testing::Matcher<const BadPages&> Bad(uint64_t first_page, uint64_t page_count, PageFaultKind kind,
                                      std::string_view owner) {
  return testing::AllOf(
      Field(&BadPages::pages, testing::AllOf(Field(&PageRange::first_page, first_page),
                                             Field(&PageRange::page_count, page_count))),
      Field(&BadPages::kind, kind), Field(&BadPages::owner, std::string(owner)));
}

TEST_F(Verify, FindsNothingWrongWithAnIntactCore) {
  for (const auto depth : {VerifyDepth::kFast, VerifyDepth::kStandard, VerifyDepth::kFull}) {
    const VerifyReport report = Check(depth);
    EXPECT_TRUE(report.intact());
    EXPECT_EQ(report.checked_page_count, model_.map().core.page_count);
  }
}

TEST_F(Verify, ListsEveryBadPageWithItsOwner) {
  const uint64_t q = PageOf("blk.0.attn_q.weight");
  model_.FlipByte(0, 5);
  model_.FlipByte(q, 0);
  model_.FlipByte(q + 1, kPageCrcOffset);
  model_.FlipByte(q + 3, kPageMagicOffset);
  const uint64_t gap = model_.map().source.files[0].gaps[0].pages.first_page;
  model_.FlipByte(gap, 4087);
  for (const auto depth : {VerifyDepth::kFast, VerifyDepth::kStandard}) {
    const VerifyReport report = Check(depth);
    EXPECT_EQ(report.bad_page_count, 5u);
    EXPECT_THAT(report.bad_pages,
                ElementsAre(Bad(0, 1, PageFaultKind::kTag, kSourceHeaderTensor),
                            Bad(q, 2, PageFaultKind::kTag, "blk.0.attn_q.weight"),
                            Bad(q + 3, 1, PageFaultKind::kTag, "blk.0.attn_q.weight"),
                            Bad(gap, 1, PageFaultKind::kTag, kGapsTensor)));
  }
}

TEST_F(Verify, SaysBothCrcsOfABadPage) {
  const uint64_t page = PageOf("output.weight");
  model_.FlipByte(page, 200);
  const VerifyReport report = Check();
  ASSERT_THAT(report.bad_pages, SizeIs(1));
  EXPECT_THAT(report.bad_pages[0].expected, SizeIs(8));
  EXPECT_THAT(report.bad_pages[0].found, SizeIs(8));
  EXPECT_NE(report.bad_pages[0].expected, report.bad_pages[0].found);
}

TEST_F(Verify, ADamagedTensorAlsoFailsItsDigest) {
  model_.FlipByte(PageOf("output.weight"), 0);
  EXPECT_THAT(Check(VerifyDepth::kFast).faults, IsEmpty());
  EXPECT_THAT(Check(VerifyDepth::kStandard).faults,
              ElementsAre(Field(&VerifyFault::subject, "tensor output.weight")));
  EXPECT_THAT(Check(VerifyDepth::kFull).faults,
              ElementsAre(Field(&VerifyFault::subject, "tensor output.weight"),
                          Field(&VerifyFault::subject, "file model.gguf")));
}

TEST_F(Verify, FindsAPageInTheWrongPlace) {
  const uint64_t q = PageOf("blk.0.attn_q.weight");
  model_.CopyPage(q + 2, q);
  EXPECT_THAT(Check(VerifyDepth::kFast).bad_pages,
              ElementsAre(Bad(q, 1, PageFaultKind::kTag, "blk.0.attn_q.weight")));
}

TEST_F(Verify, FindsAnOldVersionOfAPage) {
  const uint64_t q = PageOf("blk.0.attn_q.weight");
  model_.WriteStalePage(q);
  EXPECT_THAT(Check(VerifyDepth::kFast).bad_pages,
              ElementsAre(Bad(q, 1, PageFaultKind::kStale, "blk.0.attn_q.weight")));
}

TEST_F(Verify, FindsADamagedIndex) {
  const uint64_t index = model_.map().core.index.first_page;
  model_.FlipByte(index, 8);
  const VerifyReport report = Check(VerifyDepth::kFast);
  // Its entries are not believed: the pages it lists are not called stale.
  EXPECT_THAT(report.bad_pages, ElementsAre(Bad(index, 1, PageFaultKind::kTag, kIndexTensor)));
  EXPECT_THAT(report.faults, ElementsAre(Field(&VerifyFault::subject, "index")));
}

TEST_F(Verify, FindsAnOldVersionOfTheIndex) {
  model_.WriteStalePage(model_.map().core.index.first_page);
  const VerifyReport report = Check(VerifyDepth::kFast);
  EXPECT_THAT(report.faults, ElementsAre(Field(&VerifyFault::subject, "index")));
  EXPECT_FALSE(report.intact());
}

TEST_F(Verify, RefusesAMapThatWasChangedWithoutItsCore) {
  const std::vector<std::function<void(nlohmann::json&)>> edits = {
      [](auto& map) { map["shards"][1]["xxh3_128"] = std::string(32, '0'); },
      [](auto& map) { map["source"]["files"][0]["sha256"] = std::string(64, '0'); },
      [](auto& map) { map["source"]["files"][0]["name"] = "another.gguf"; },
      [](auto& map) { map["core"]["index"]["sha256"] = std::string(64, '0'); },
      [](auto& map) {
        map["shards"][0]["shape"] = {1024, 20};
      },
  };
  const auto original = ReadWholeFile(model_.map_path(), kMaxMapBytes);
  for (const auto& edit : edits) {
    model_.EditMapAlone(edit);
    const auto report = TryCheck(VerifyDepth::kFast);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), ErrorCode::kMismatch);
    ASSERT_TRUE(WriteWholeFile(model_.map_path(), *original, Overwrite::kAllow).has_value());
  }
}

TEST_F(Verify, LetsPeopleChangeWhatDecidesNoBytes) {
  model_.EditMapAlone([](nlohmann::json& map) {
    map["atlas"]["prefetch_distance"] = 99;
    map["shards"][1]["zone"] = "cold";
    map["source"]["name"] = "My model";
  });
  EXPECT_TRUE(Check(VerifyDepth::kFull).intact());
}

TEST_F(Verify, FindsAnotherTensorDigestInTheMap) {
  model_.EditMap([](nlohmann::json& map) { map["shards"][1]["xxh3_128"] = std::string(32, '0'); });
  EXPECT_TRUE(Check(VerifyDepth::kFast).intact());
  EXPECT_THAT(Check(VerifyDepth::kStandard).faults,
              ElementsAre(Field(&VerifyFault::expected, std::string(32, '0'))));
}

TEST_F(Verify, FindsAnotherSourceDigestInTheMapWhenAskedToLook) {
  model_.EditMap(
      [](nlohmann::json& map) { map["source"]["files"][0]["sha256"] = std::string(64, '0'); });
  EXPECT_TRUE(Check(VerifyDepth::kStandard).intact());
  EXPECT_THAT(Check(VerifyDepth::kFull).faults,
              ElementsAre(Field(&VerifyFault::subject, "file model.gguf")));
}

TEST_F(Verify, FindsAMapThatDescribesATensorOtherwise) {
  // 512 x 40 blocks of Q8_0 have another shape than 1024 x 20, but as many bytes.
  model_.EditMap([](nlohmann::json& map) {
    ASSERT_EQ(map["shards"][0]["tensor"], "token_embd.weight");
    map["shards"][0]["shape"] = {1024, 20};
  });
  const VerifyReport report = Check(VerifyDepth::kFast);
  ASSERT_THAT(report.faults, SizeIs(1));
  EXPECT_EQ(report.faults[0].subject, "tensor token_embd.weight");
  EXPECT_THAT(report.faults[0].expected, HasSubstr("512, 40"));
  EXPECT_THAT(report.faults[0].found, HasSubstr("1024, 20"));
}

TEST_F(Verify, AMapOfAnotherCoreIsAnError) {
  model_.EditMapAlone([](nlohmann::json& map) { map["core"]["id"] = std::string(32, 'f'); });
  const auto report = TryCheck(VerifyDepth::kFast);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), ErrorCode::kMismatch);
}

TEST_F(Verify, ATruncatedCoreIsAnError) {
  std::filesystem::resize_file(model_.core_path(),
                               std::filesystem::file_size(model_.core_path()) - kPageBytes);
  const auto report = TryCheck(VerifyDepth::kFast);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), ErrorCode::kTruncated);
}

TEST_F(Verify, OverlappingSourcePlacesAreAnError) {
  model_.EditMap([](nlohmann::json& map) {
    map["shards"][0]["source"]["offset"] = map["shards"][1]["source"]["offset"];
  });
  const auto report = TryCheck(VerifyDepth::kStandard);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), ErrorCode::kMalformed);
}

}  // namespace
}  // namespace gguf_shard
