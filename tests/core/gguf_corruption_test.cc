// Every class of GGUF parser flaw ends in the error that its fixture names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/bytes.h"
#include "core/gguf_model.h"
#include "tests/corruption/hostile_gguf.h"

namespace gguf_shard {

void PrintTo(const HostileGguf& hostile, std::ostream* stream) { *stream << hostile.name; }

namespace {

using ::testing::HasSubstr;

std::filesystem::path FixtureDir() {
  return std::filesystem::path(GS_SOURCE_DIR) / "tests" / "corruption";
}

std::string ReadText(const std::filesystem::path& path) {
  return ReadWholeFile(path, 1 << 20).value_or("(cannot read " + path.string() + ")");
}

class HostileGgufTest : public testing::TestWithParam<HostileGguf> {};

TEST_P(HostileGgufTest, FileOnDiskEndsInTheExpectedError) {
  const auto path = FixtureDir() / (GetParam().name + ".gguf");
  const auto model = OpenGgufModel(path);
  ASSERT_FALSE(model.has_value()) << "the file was accepted";
  EXPECT_EQ(model.error().file(), path.string());

  const std::string expected = ReadText(FixtureDir() / (GetParam().name + ".expected"));
  const size_t line_end = expected.find('\n');
  ASSERT_NE(line_end, std::string::npos);
  EXPECT_EQ(ErrorCodeName(model.error().code()), expected.substr(0, line_end));
  const std::string fragment = expected.substr(line_end + 1, expected.size() - line_end - 2);
  ASSERT_FALSE(fragment.empty());
  Error error = model.error();
  EXPECT_THAT(std::move(error).File("").ToString(), HasSubstr(fragment));
}

TEST_P(HostileGgufTest, FixtureIsWhatTheTableSays) {
  EXPECT_EQ(ReadText(FixtureDir() / (GetParam().name + ".gguf")), GetParam().bytes);
  EXPECT_EQ(ReadText(FixtureDir() / (GetParam().name + ".expected")),
            std::string(ErrorCodeName(GetParam().code)) + "\n" + GetParam().fragment + "\n");
}

INSTANTIATE_TEST_SUITE_P(All, HostileGgufTest, testing::ValuesIn(HostileGgufs()),
                         [](const auto& instance) { return instance.param.name; });

TEST(HostileGgufs, NoFixtureIsWithoutItsCase) {
  const auto cases = HostileGgufs();
  for (const auto& entry : std::filesystem::directory_iterator(FixtureDir())) {
    if (entry.path().extension() != ".gguf") continue;
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&entry](const HostileGguf& hostile) {
      return hostile.name == entry.path().stem();
    })) << entry.path();
  }
}

}  // namespace
}  // namespace gguf_shard
