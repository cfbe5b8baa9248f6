#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "atlas/atlas.h"
#include "atlas/page_pool.h"
#include "atlas/page_source.h"
#include "tests/atlas/synthetic_core.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

class CorePageSourceTest : public ::testing::Test {
 protected:
  CorePageSourceTest() : model_(MakeModel()), memory_(model_) {
    WriteSyntheticCore(model_, directory_.path());
  }

  static SyntheticModel MakeModel() {
    SyntheticModel model;
    for (int i = 0; i < 6; ++i) model.AddMatrix("m" + std::to_string(i), 40, 4);
    model.AddTable("table", 50);
    return model;
  }
  CoreFile Open(const std::filesystem::path& directory, Caching caching) const {
    auto core = CoreFile::Open(directory, caching);
    EXPECT_TRUE(core) << core.error().ToString();
    return std::move(*core);
  }
  // Pages of the file that the operating system holds in its cache.
  static uint64_t CachedPages(const CoreFile& core) {
    const uint64_t bytes = core.file().size_bytes();
    void* mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, core.file().descriptor(), 0);
    GS_CHECK(mapped != MAP_FAILED);
    std::vector<unsigned char> cached(DivCeil(bytes, kPageBytes));
    GS_CHECK(mincore(mapped, bytes, cached.data()) == 0);
    munmap(mapped, bytes);
    return static_cast<uint64_t>(
        std::count_if(cached.begin(), cached.end(), [](unsigned char c) { return c & 1; }));
  }
  static bool IsMemoryFileSystem(const std::filesystem::path& path) {
    constexpr decltype(std::declval<struct statfs>().f_type) kTmpfsMagic = 0x01021994;
    struct statfs status {};
    return statfs(path.c_str(), &status) == 0 && status.f_type == kTmpfsMagic;
  }

  TemporaryDirectory directory_;
  SyntheticModel model_;
  MemoryPageSource memory_;
};

TEST_F(CorePageSourceTest, DeliversThePagesOfTheFile) {
  const PagePool pool = std::move(*PagePool::Allocate(100));
  for (const Caching caching : {Caching::kBuffered, Caching::kDirect}) {
    const CoreFile core = Open(directory_.path(), caching);
    const auto source = MakeCorePageSource(core);
    ASSERT_TRUE(source->Read(17, {pool.slot(0), 100 * kPageBytes}));
    EXPECT_EQ(std::memcmp(pool.slot(0), memory_.page(17), 100 * kPageBytes), 0);
  }
}

TEST_F(CorePageSourceTest, SaysWhetherItReadsDirectly) {
  const CoreFile buffered = Open(directory_.path(), Caching::kBuffered);
  EXPECT_NE(MakeCorePageSource(buffered)->Describe().find("page cache"), std::string::npos);
  const CoreFile direct = Open(directory_.path(), Caching::kDirect);
  if (!direct.file().direct()) GTEST_SKIP() << "the temporary directory has no direct I/O";
  EXPECT_EQ(MakeCorePageSource(direct)->Describe(), "core.gguf, direct");
}

TEST_F(CorePageSourceTest, RunningTheModelLeavesNothingInThePageCache) {
  if (IsMemoryFileSystem(directory_.path())) {
    GTEST_SKIP() << "the temporary directory is in memory: it is all page cache";
  }
  std::vector<uint32_t> scheduled(6);
  std::iota(scheduled.begin(), scheduled.end(), 0);
  for (const Caching caching : {Caching::kBuffered, Caching::kDirect}) {
    const CoreFile core = Open(directory_.path(), caching);
    core.file().DropCache(0, core.file().size_bytes());
    const auto source = MakeCorePageSource(core);
    AtlasOptions options;
    options.pool_bytes = 400 * kPageBytes;
    const auto atlas = Atlas::Open(core.map(), *source, scheduled, options);
    ASSERT_TRUE(atlas) << atlas.error().ToString();
    for (int pass = 0; pass < 2; ++pass) {
      for (uint32_t run = 0; run < (*atlas)->run_table().run_count(); ++run) {
        const auto pinned = (*atlas)->Pin(run);
        ASSERT_TRUE(pinned) << pinned.error().ToString();
        EXPECT_TRUE(ShowsItsPages((*atlas)->run_table().run(run), pinned->pages(), memory_));
      }
    }
    EXPECT_LE(CachedPages(core), 1u) << source->Describe();
  }
}

TEST_F(CorePageSourceTest, FileSystemWithoutDirectIoFallsBackAndSaysSo) {
  const std::filesystem::path shared_memory = "/dev/shm";
  if (!IsMemoryFileSystem(shared_memory)) GTEST_SKIP() << "there is no tmpfs at /dev/shm";
  const std::filesystem::path folder = shared_memory / directory_.path().filename();
  if (!std::filesystem::create_directory(folder)) GTEST_SKIP() << "/dev/shm cannot be written";
  WriteSyntheticCore(model_, folder);
  {
    const CoreFile core = Open(folder, Caching::kDirect);
    const auto source = MakeCorePageSource(core);
    const PagePool pool = std::move(*PagePool::Allocate(10));
    ASSERT_TRUE(source->Read(5, {pool.slot(0), 10 * kPageBytes}));
    EXPECT_EQ(std::memcmp(pool.slot(0), memory_.page(5), 10 * kPageBytes), 0);
    // Newer kernels give tmpfs direct I/O.
    EXPECT_EQ(source->Describe() == "core.gguf, direct", core.file().direct());
  }
  std::filesystem::remove_all(folder);
}

TEST_F(CorePageSourceTest, DamageInTheFileIsFoundByThePinThatNeedsIt) {
  {
    const CoreFile core = Open(directory_.path(), Caching::kBuffered);
    const uint64_t bad_page = core.map().tensors[2].first_page + 33;
    const int descriptor = open((directory_ / kCoreFileName).c_str(), O_WRONLY);
    ASSERT_GE(descriptor, 0);
    const char byte = 0x5a;
    ASSERT_EQ(pwrite(descriptor, &byte, 1, static_cast<off_t>(core.page_offset(bad_page) + 99)), 1);
    close(descriptor);
  }
  const CoreFile core = Open(directory_.path(), Caching::kDirect);
  const auto source = MakeCorePageSource(core);
  AtlasOptions options;
  options.pool_bytes = 400 * kPageBytes;
  const auto atlas = Atlas::Open(core.map(), *source, {0, 1, 2, 3, 4, 5}, options);
  ASSERT_TRUE(atlas);
  const uint32_t bad_run = (*atlas)->run_table().RunOfPage(2, 0, 33);
  for (uint32_t run = 0; run < (*atlas)->run_table().run_count(); ++run) {
    const auto pinned = (*atlas)->Pin(run);
    ASSERT_EQ(pinned.has_value(), run != bad_run);
    if (pinned) continue;
    EXPECT_EQ(pinned.error().tensor(), "m2");
    EXPECT_EQ(pinned.error().file(), "core.gguf");
  }
}

}  // namespace
}  // namespace gguf_shard
