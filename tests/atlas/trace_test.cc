#include "atlas/trace.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "core/bytes.h"
#include "tests/atlas/synthetic_model.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

// Two scheduled matrices and one of four experts: six shards.
class TraceTest : public ::testing::Test {
 protected:
  TraceTest() {
    model_.AddMatrix("first", 8, 4);
    model_.AddMatrix("second", 8, 2);
    model_.AddMatrix("experts", 8, 3, 4);
    model_.map().tensors[1].first_shard_id = 1;
    model_.map().tensors[2].first_shard_id = 2;
  }

  std::vector<std::byte> Write(const std::function<void(TraceWriter&)>& record) const {
    auto writer = TraceWriter::Create(path(), model_.map(), std::vector<uint32_t>{0, 1});
    EXPECT_TRUE(writer);
    record(*writer);
    EXPECT_TRUE(writer->Finish());
    std::ifstream file(path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return {AsBytes(text).begin(), AsBytes(text).end()};
  }
  std::vector<std::byte> WriteExample() const {
    return Write([](TraceWriter& writer) {
      writer.BeginPass(300);
      for (const uint64_t shard : {0, 2, 5, 1}) writer.Use(shard);
      writer.BeginPass(1);
      for (const uint64_t shard : {0, 3, 1}) writer.Use(shard);
    });
  }
  std::filesystem::path path() const { return directory_.path() / "run.trace"; }

  SyntheticModel model_;
  TemporaryDirectory directory_;
};

TEST_F(TraceTest, ReadsBackWhatWasRecorded) {
  WriteExample();
  const auto trace = ReadTrace(path());
  ASSERT_TRUE(trace) << trace.error().ToString();
  EXPECT_EQ(trace->core_id, model_.map().core.id);
  ASSERT_EQ(trace->shards.size(), 6u);
  EXPECT_EQ(trace->shards[0].page_count, 32u);
  EXPECT_TRUE(trace->shards[1].scheduled);
  EXPECT_EQ(trace->shards[5].page_count, 24u);
  EXPECT_FALSE(trace->shards[5].scheduled);
  ASSERT_EQ(trace->passes.size(), 2u);
  EXPECT_EQ(trace->passes[0].token_count, 300u);
  EXPECT_EQ(trace->passes[1].token_count, 1u);
  EXPECT_EQ(std::vector(trace->UsesOf(0).begin(), trace->UsesOf(0).end()),
            (std::vector<uint32_t>{0, 2, 5, 1}));
  EXPECT_EQ(std::vector(trace->UsesOf(1).begin(), trace->UsesOf(1).end()),
            (std::vector<uint32_t>{0, 3, 1}));
}

TEST_F(TraceTest, LongTracesPassThroughTheBuffer) {
  Write([](TraceWriter& writer) {
    for (uint32_t pass = 0; pass < 20000; ++pass) {
      writer.BeginPass(1);
      for (uint32_t use = 0; use < 6; ++use) writer.Use((pass + use) % 6);
    }
  });
  const auto trace = ReadTrace(path());
  ASSERT_TRUE(trace);
  ASSERT_EQ(trace->passes.size(), 20000u);
  EXPECT_EQ(trace->uses.size(), 120000u);
  EXPECT_EQ(trace->UsesOf(19999)[5], (19999u + 5) % 6);
}

TEST_F(TraceTest, EveryTraceThatIsCutShortIsRefused) {
  const std::vector<std::byte> whole = WriteExample();
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto trace = ParseTrace(std::span(whole).first(size));
    ASSERT_FALSE(trace) << size;
    EXPECT_EQ(trace.error().code(), ErrorCode::kTruncated) << size;
  }
}

TEST_F(TraceTest, BytesAfterTheEndAreRefused) {
  std::vector<std::byte> bytes = WriteExample();
  bytes.push_back(std::byte{0});
  const auto trace = ParseTrace(bytes);
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().code(), ErrorCode::kMalformed);
}

TEST_F(TraceTest, WrongFieldsAreRefusedWithTheirPlace) {
  const std::vector<std::byte> whole = WriteExample();
  const auto with = [&](size_t at, std::vector<int> bytes) {
    std::vector<std::byte> changed = whole;
    for (size_t i = 0; i < bytes.size(); ++i) changed[at + i] = static_cast<std::byte>(bytes[i]);
    auto trace = ParseTrace(changed);
    EXPECT_FALSE(trace) << at;
    return trace ? Error(ErrorCode::kIo, "none") : trace.error();
  };
  const size_t records = 32 + 6 * 8;
  EXPECT_EQ(with(0, {'g'}).code(), ErrorCode::kMalformed);
  EXPECT_EQ(with(8, {2}).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(with(12, {255, 255, 255, 255}).code(), ErrorCode::kTruncated);
  EXPECT_EQ(with(32 + 4, {2}).byte_offset(), 36u);
  EXPECT_EQ(with(records, {1}).code(), ErrorCode::kMalformed) << "a use before any pass";
  EXPECT_EQ(with(records + 3, {7}).byte_offset(), records + 3) << "there are six shards";
  EXPECT_EQ(with(records + 3, {0x81, 0x00}).code(), ErrorCode::kMalformed) << "not the shortest";
  EXPECT_EQ(with(records + 3, {0xff, 0xff, 0xff, 0xff, 0x7f}).code(), ErrorCode::kMalformed);
}

TEST_F(TraceTest, RandomDamageNeverGetsPastTheLimits) {
  const std::vector<std::byte> whole = WriteExample();
  std::mt19937 random(7);
  size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes = whole;
    for (int change = 0; change < 3; ++change) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    const auto trace = ParseTrace(bytes);
    if (!trace) continue;
    ++accepted;
    ASSERT_EQ(trace->shards.size(), 6u);
    for (const uint32_t use : trace->uses) ASSERT_LT(use, 6u);
    for (size_t pass = 0; pass < trace->passes.size(); ++pass) {
      ASSERT_LE(trace->UsesOf(pass).size(), trace->uses.size());
    }
  }
  EXPECT_GT(accepted, 0u) << "an id may be anything";
}

TEST_F(TraceTest, NothingIsLeftOfARunThatDidNotEnd) {
  {
    auto writer = TraceWriter::Create(path(), model_.map(), {});
    ASSERT_TRUE(writer);
    writer->BeginPass(1);
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

}  // namespace
}  // namespace gguf_shard
