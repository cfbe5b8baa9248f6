// The seam at which faults come in: what is asked for happens, nothing else, and the same again
// with the same seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "atlas/page_pool.h"
#include "core/file.h"
#include "forge/shard.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"
#include "validate/check.h"
#include "validate/fault_file_operations.h"
#include "validate/json_mutation.h"
#include "validate/page_damage.h"

namespace gguf_shard {
namespace {

class FaultFile : public testing::Test {
 protected:
  FaultFile() {
    for (size_t i = 0; i < text_.size(); ++i) text_[i] = static_cast<char>('a' + i % 23);
    EXPECT_TRUE(WriteWholeFile(path_, text_, Overwrite::kRefuse));
    EXPECT_TRUE(operations_.SetTarget(path_));
  }

  Result<std::string> Read() {
    const ScopedFileOperations scope(operations_);
    return ReadWholeFile(path_, 1 << 20);
  }

  TemporaryDirectory dir_;
  std::filesystem::path path_ = dir_ / "file";
  std::string text_ = std::string(20'000, ' ');
  FaultFileOperations operations_{5};
};

TEST_F(FaultFile, GivesOtherBytesWhereAskedTo) {
  operations_.ReplaceBytes(100, {std::byte{'X'}, std::byte{'Y'}});
  const auto read = Read();
  ASSERT_TRUE(read);
  std::string expected = text_;
  expected.replace(100, 2, "XY");
  EXPECT_EQ(*read, expected);
  operations_.ClearReadFaults();
  EXPECT_EQ(Read().value(), text_);
}

TEST_F(FaultFile, OtherFilesAreLeftAlone) {
  ASSERT_TRUE(WriteWholeFile(dir_ / "other", text_, Overwrite::kRefuse));
  operations_.ReplaceBytes(0, {std::byte{'X'}});
  operations_.FailReadsOf(10, FaultFileOperations::kNever);
  const ScopedFileOperations scope(operations_);
  EXPECT_EQ(ReadWholeFile(dir_ / "other", 1 << 20).value(), text_);
}

TEST_F(FaultFile, AReadThatFailsTwiceIsTriedAThirdTimeAndNoMore) {
  operations_.FailReadsOf(500, 2);
  EXPECT_EQ(Read().value(), text_);
  EXPECT_EQ(operations_.fault_count(), 2u);
  operations_.FailReadsOf(500, 5);
  const auto read = Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kIo);
  EXPECT_EQ(read.error().file(), path_.string());
  EXPECT_EQ(operations_.fault_count(), 5u);
  EXPECT_EQ(Read().value(), text_);
  EXPECT_EQ(operations_.fault_count(), 7u);
}

TEST_F(FaultFile, ReadsThatAreInterruptedForeverEndInAnError) {
  operations_.InterruptReads(1);
  const auto read = Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kIo);
  EXPECT_EQ(operations_.fault_count(), 1000u);
}

TEST_F(FaultFile, OpensAreTriedAgain) {
  operations_.FailOpens(20, EINTR);
  EXPECT_EQ(Read().value(), text_);
  EXPECT_EQ(operations_.fault_count(), 20u);
  operations_.FailOpens(1, EACCES);
  const auto refused = Read();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kIo);
  operations_.FailOpens(FaultFileOperations::kNever, EINTR);
  EXPECT_FALSE(Read());
}

// Direct I/O must not be given up for a signal: the file would be read through the page cache.
TEST_F(FaultFile, ADirectOpenThatIsInterruptedStaysDirect) {
  const auto plain = File::OpenRead(path_, Caching::kDirect);
  ASSERT_TRUE(plain);
  operations_.FailOpens(3, EINTR);
  const ScopedFileOperations scope(operations_);
  const auto interrupted = File::OpenRead(path_, Caching::kDirect);
  ASSERT_TRUE(interrupted);
  EXPECT_EQ(interrupted->direct(), plain->direct());
}

TEST_F(FaultFile, TheSameSeedHesitatesAtTheSameReads) {
  const auto hesitations = [this](uint64_t seed) {
    FaultFileOperations operations(seed);
    EXPECT_TRUE(operations.SetTarget(path_));
    operations.ShortenReads(0.5);
    operations.InterruptReads(0.3);
    const File file = File::OpenRead(path_).value();
    std::vector<ssize_t> results;
    char buffer[4096];
    for (const int order : {0, 1}) {
      for (int i = 0; i < 16; ++i) {
        const off_t place = (order == 0 ? i : 15 - i) * 1000;
        results.push_back(operations.Read(file.descriptor(), buffer, sizeof buffer, place));
      }
      // The other way round the second time: what happens at a place is its own.
      if (order == 1) std::reverse(results.begin() + 16, results.end());
    }
    return results;
  };
  EXPECT_EQ(hesitations(3), hesitations(3));
  EXPECT_NE(hesitations(3), hesitations(4));
}

// What io_uring has read passes here when it ends.
class FaultUring : public FaultFile {
 protected:
  ssize_t End(ssize_t result) {
    const File file = File::OpenRead(path_).value();
    bytes_.assign(8192, 'r');
    return operations_.EndRead(file.descriptor(), bytes_.data(), bytes_.size(), 4096, result);
  }
  std::string bytes_;
};

TEST_F(FaultUring, OtherBytesErrorsAndShortReads) {
  EXPECT_EQ(End(8192), 8192);
  EXPECT_EQ(bytes_, std::string(8192, 'r'));
  operations_.ReplaceBytes(4100, {std::byte{'X'}});
  EXPECT_EQ(End(8192), 8192);
  EXPECT_EQ(bytes_.substr(0, 6), "rrrrXr");
  operations_.ClearReadFaults();
  operations_.FailReadsOf(5000, 1);
  EXPECT_EQ(End(8192), -EIO);
  EXPECT_EQ(bytes_.find('r'), std::string::npos) << "nothing was read";
  EXPECT_EQ(End(8192), 8192);
  operations_.EndAt(8192);
  EXPECT_EQ(End(8192), 4096);
  EXPECT_EQ(bytes_.find_last_of('r'), 4095u);
  EXPECT_EQ(operations_.uring_fault_count(), 3u);
}

TEST_F(FaultUring, ErrorsOfTheSystemStay) {
  EXPECT_EQ(End(-EBADF), -EBADF);
  EXPECT_EQ(End(0), 0);
  EXPECT_EQ(operations_.fault_count(), 0u);
}

TEST_F(FaultFile, ShortAndInterruptedReadsAreReadOn) {
  operations_.ShortenReads(0.9);
  operations_.InterruptReads(0.5);
  EXPECT_EQ(Read().value(), text_);
  EXPECT_GT(operations_.fault_count(), 0u);
}

TEST_F(FaultFile, EndsEarly) {
  operations_.EndAt(8192);
  const auto read = Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kTruncated);
  EXPECT_EQ(read.error().found(), "8192");
}

TEST_F(FaultFile, AFullDiskIsNoSpaceFromThenOn) {
  const ScopedFileOperations scope(operations_);
  operations_.FailChangesFrom(FaultFileOperations::kNever, 0);
  ASSERT_TRUE(WriteWholeFile(dir_ / "a", text_, Overwrite::kAllow));
  const uint64_t changes = operations_.change_count();
  ASSERT_GT(changes, 1u);
  for (uint64_t change = 0; change < changes; ++change) {
    operations_.FailChangesFrom(change, ENOSPC);
    const auto written = WriteWholeFile(dir_ / "b", text_, Overwrite::kAllow);
    ASSERT_FALSE(written) << change;
    EXPECT_EQ(written.error().code(), ErrorCode::kNoSpace);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "b"));
  }
}

class PageDamageTest : public testing::Test {
 protected:
  PageDamageTest() {
    NoProgress progress;
    ShardOptions shard;
    shard.output_directory = dir_ / "tale";
    EXPECT_TRUE(ShardModel(InTreeDataDir() / "tale-Q4_K_M.gguf", shard, progress));
    core_.emplace(CoreFile::Open(dir_ / "tale").value());
    pages_.resize(kWindow.page_count * kPageBytes);
    EXPECT_TRUE(core_->ReadRaw(kWindow.first_page, pages_));
  }

  std::vector<DamagedPage> Damage(PageDamageKind kind, uint64_t seed) {
    std::mt19937_64 random(seed);
    return DamagePages(*core_, kWindow, pages_, kind, 8, random);
  }

  static constexpr PageRange kWindow{20, 64};
  TemporaryDirectory dir_;
  std::optional<CoreFile> core_;
  std::vector<std::byte> pages_;
};

TEST_F(PageDamageTest, EveryKindChangesThePagesItNames) {
  for (const PageDamageKind kind : kPageDamageKinds) {
    const auto damaged = Damage(kind, 3);
    EXPECT_GE(damaged.size(), 6u) << PageDamageName(kind);
    std::set<uint64_t> pages;
    for (const DamagedPage& page : damaged) {
      ASSERT_EQ(page.image.size(), kPageBytes);
      EXPECT_TRUE(pages.insert(page.page_index).second);
      ASSERT_GE(page.page_index, kWindow.first_page);
      ASSERT_LT(page.page_index, kWindow.end_page());
      const auto* good = pages_.data() + (page.page_index - kWindow.first_page) * kPageBytes;
      EXPECT_NE(std::memcmp(page.image.data(), good, kPageBytes), 0);
    }
  }
}

TEST_F(PageDamageTest, OnlyAStalePageHasARightTag) {
  for (const PageDamageKind kind : kPageDamageKinds) {
    for (DamagedPage& page : Damage(kind, 4)) {
      EXPECT_EQ(PageIsIntact(core_->map().core.id, page.page_index, PageAt(page.image.data(), 0)),
                kind == PageDamageKind::kStale)
          << PageDamageName(kind);
    }
  }
}

TEST_F(PageDamageTest, TheSameSeedGivesTheSameDamage) {
  for (const PageDamageKind kind : kPageDamageKinds) {
    const auto first = Damage(kind, 9);
    const auto second = Damage(kind, 9);
    ASSERT_EQ(first.size(), second.size());
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_EQ(first[i].page_index, second[i].page_index);
      EXPECT_EQ(first[i].image, second[i].image);
    }
  }
}

TEST(JsonMutations, ChangeOneThingAndStayJson) {
  const std::string text = R"({"a": 12, "list": [1, 2, {"name": "x"}], "flag": true})";
  std::mt19937_64 random(1);
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) {
    const JsonMutation mutation = MutateJson(text, random);
    const auto parsed = nlohmann::json::parse(mutation.text, nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << mutation.text;
    EXPECT_NE(parsed, nlohmann::json::parse(text)) << mutation.what;
    seen.insert(mutation.what);
  }
  EXPECT_GT(seen.size(), 40u);
}

TEST(Judgement, MissedFaultsAndFalseAlarmsBreakThePromise) {
  Outcome outcome;
  outcome.injected = 3;
  outcome.detected = 2;
  outcome.harmless = 1;
  JudgeDetection(outcome);
  EXPECT_EQ(outcome.status, CheckStatus::kPassed);
  outcome.injected = 4;
  JudgeDetection(outcome);
  EXPECT_EQ(outcome.status, CheckStatus::kBroken);
  outcome.injected = 3;
  outcome.false_alarms = 1;
  JudgeDetection(outcome);
  EXPECT_EQ(outcome.status, CheckStatus::kBroken);
}

}  // namespace
}  // namespace gguf_shard
