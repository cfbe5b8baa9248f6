// The atlas over a real file: both ways of reading show the same pages, notice the same faults and
// count alike.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "atlas/fault_page_source.h"
#include "atlas/uring.h"
#include "core/core_file.h"
#include "tests/atlas/atlas_fixture.h"
#include "tests/atlas/synthetic_core.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

bool UringIsAllowed() { return Uring::Create(STDIN_FILENO, 1).has_value(); }

class IoMethodTest : public AtlasTest, public ::testing::WithParamInterface<IoMethod> {
 protected:
  void SetUp() override {
    WriteSyntheticCore(MakeModel(), directory_.path());
    Reopen();
    if (GetParam() != IoMethod::kUring) return;
    if (!UringIsAllowed()) GTEST_SKIP() << "this system does not allow io_uring";
    if (!core_->file().direct()) GTEST_SKIP() << "this file system has no direct I/O";
  }

  void Reopen() {
    auto core = CoreFile::Open(directory_.path(), Caching::kDirect);
    ASSERT_TRUE(core) << core.error().ToString();
    core_ = std::make_unique<CoreFile>(std::move(*core));
    source_ = MakeCorePageSource(*core_);
  }

  std::unique_ptr<Atlas> OpenFile(uint64_t pages, uint32_t io_threads = 4) const {
    AtlasOptions options = PoolOf(pages);
    options.io_method = GetParam();
    options.io_threads = io_threads;
    auto atlas = Atlas::Open(core_->map(), *source_, scheduled_, options);
    EXPECT_TRUE(atlas) << atlas.error().ToString();
    return std::move(*atlas);
  }

  // Changes one byte of a page in the file.
  void Damage(uint64_t page_index) const {
    const std::string path = (directory_.path() / kCoreFileName).string();
    const int file = open(path.c_str(), O_WRONLY);
    ASSERT_GE(file, 0);
    const char byte = 0x5b;
    const auto offset = static_cast<off_t>(core_->page_offset(page_index) + 100);
    ASSERT_EQ(pwrite(file, &byte, 1, offset), 1);
    ASSERT_EQ(fsync(file), 0);
    ASSERT_EQ(close(file), 0);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<CoreFile> core_;
  std::unique_ptr<PageSource> source_;
};

TEST_P(IoMethodTest, ShowsTheSamePagesInAnyPool) {
  for (const uint64_t pages : {MinimumPages(), uint64_t{700}, uint64_t{1700}, uint64_t{1} << 20}) {
    for (const uint32_t io_threads : {1u, 2u, 7u}) {
      const auto atlas = OpenFile(pages, io_threads);
      EXPECT_EQ(atlas->Stats().io_method, GetParam());
      RunPasses(*atlas, 3, 3);
      EXPECT_EQ(PagesPinned(atlas->Stats()), 3 * kScheduledPages);
      EXPECT_EQ(atlas->Stats().retried_pages, 0u);
    }
  }
}

TEST_P(IoMethodTest, ServesRunsOnDemandAndAnnounced) {
  const auto atlas = OpenFile(1200);
  for (uint32_t expert = 0; expert < 8; ++expert) {
    const RunSpan span = atlas->run_table().RunsOf(kExperts, expert);
    std::vector<uint32_t> runs(span.run_count);
    std::iota(runs.begin(), runs.end(), span.first_run);
    atlas->Prefetch(runs);
    for (const uint32_t run : runs) EXPECT_TRUE(PinShowsItsPages(*atlas, run));
  }
}

TEST_P(IoMethodTest, CountsWhatItReads) {
  const auto atlas = OpenFile(uint64_t{1} << 20);
  RunPasses(*atlas, 2, 2);
  const AtlasStats stats = atlas->Stats();
  EXPECT_EQ(stats.bytes_read, kScheduledPages * kPageBytes);
  EXPECT_GT(stats.reads, 0u);
  EXPECT_LE(stats.reads, kScheduledPages / 4);
  EXPECT_GT(stats.read_seconds, 0);
}

TEST_P(IoMethodTest, DamagedPageIsAnErrorOfItsRunOnly) {
  const RunTable runs(model_.map());
  const uint32_t bad_run = runs.RunsOf(3).first_run + 1;
  const uint64_t bad_page = runs.run(bad_run).first_page + 2;
  Damage(bad_page);
  Reopen();
  for (const uint64_t pages : {uint64_t{700}, uint64_t{1} << 20}) {
    const auto atlas = OpenFile(pages);
    for (uint32_t run = 0; run < runs.RunsOf(5).first_run; ++run) {
      if (run != bad_run) {
        EXPECT_TRUE(PinShowsItsPages(*atlas, run));
        continue;
      }
      const auto failed = atlas->Pin(run);
      ASSERT_FALSE(failed);
      EXPECT_EQ(failed.error().code(), ErrorCode::kChecksumMismatch);
      EXPECT_EQ(failed.error().tensor(), "m3");
      EXPECT_EQ(failed.error().page_index(), bad_page);
    }
  }
}

TEST_P(IoMethodTest, FileThatBecameShorterIsAnErrorOfTheRunsBeyondItsEnd) {
  const RunTable runs(model_.map());
  const uint32_t last_run = runs.RunsOf(kMatrices - 1).first_run + 3;
  const std::string path = (directory_.path() / kCoreFileName).string();
  const uint64_t kept = core_->page_offset(runs.run(last_run).first_page) + kPageBytes;
  ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(kept)), 0);
  const auto atlas = OpenFile(uint64_t{1} << 20);
  EXPECT_TRUE(PinShowsItsPages(*atlas, last_run - 1));
  const auto failed = atlas->Pin(last_run);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), ErrorCode::kTruncated);
  EXPECT_EQ(failed.error().page_index(), runs.run(last_run).first_page + 1);
}

TEST_P(IoMethodTest, EndsWithReadsInFlight) {
  for (int round = 0; round < 20; ++round) {
    const auto atlas = OpenFile(round % 2 == 0 ? 700 : 1700);
    EXPECT_TRUE(PinShowsItsPages(*atlas, 0));
  }
}

INSTANTIATE_TEST_SUITE_P(All, IoMethodTest, ::testing::Values(IoMethod::kUring, IoMethod::kThreads),
                         [](const auto& test) { return std::string(IoMethodName(test.param)); });

using IoMethodChoiceTest = AtlasTest;

TEST_F(IoMethodChoiceTest, SourcesWithoutADirectFileAreReadByThreads) {
  FaultPageSource source(memory_, {});
  const auto atlas = Open(source, PoolOf(1000));
  EXPECT_EQ(atlas->Stats().io_method, IoMethod::kThreads);
  RunPasses(*atlas, 2, 1);
}

TEST_F(IoMethodChoiceTest, InsistingOnUringWhereItCannotBeIsAnError) {
  AtlasOptions options = PoolOf(1000);
  options.io_method = IoMethod::kUring;
  const auto atlas = Atlas::Open(model_.map(), memory_, scheduled_, options);
  ASSERT_FALSE(atlas);
  EXPECT_EQ(atlas.error().code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace gguf_shard
