// gguf-shard simulate: the figures of a small trace that can be replayed by hand, and its drawings.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/cli/program.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

// Bytes of a trace as docs/FORMAT-TRACE.md draws them, written without the project's writer: eight
// shards of 1 MiB that are used on demand, and one token that uses these.
std::string TextbookTrace() {
  std::string bytes = "GSTRACE\n";
  const auto put = [&bytes](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift);
  };
  put(1);
  put(8);
  bytes += std::string(16, '\x5a');
  for (int shard = 0; shard < 8; ++shard) {
    put(256);
    put(0);
  }
  bytes += std::string("\0\1", 2);
  for (const int shard : {7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1}) {
    bytes += static_cast<char>(shard + 1);
  }
  return bytes + std::string("\0\0", 2);
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Empty when every element is closed in turn and every attribute's quotes match.
std::string MarkupFault(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const size_t end = text.find('>', at);
    if (end == std::string::npos) return "a tag without an end";
    const std::string tag = text.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "quotes in " + tag;
    if (tag.starts_with('!') || tag.ends_with('/')) continue;
    if (!tag.starts_with('/')) {
      open.push_back(tag.substr(0, tag.find_first_of(" \n")));
    } else if (open.empty() || open.back() != tag.substr(1)) {
      return "unexpected " + tag;
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "unclosed " + open.back();
}

class SimulateCommandTest : public ::testing::Test {
 protected:
  SimulateCommandTest() { Write("book.trace", TextbookTrace()); }

  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(directory_ / name, std::ios::binary) << bytes;
    return (directory_ / name).string();
  }
  std::string Book() const { return (directory_ / "book.trace").string(); }

  TemporaryDirectory directory_;
};

TEST_F(SimulateCommandTest, FiguresAreThoseOfTheReplayByHand) {
  // Three frames. Least recently used misses 12 of 20. Fewest uses first (history is kept, ties
  // leave by number) misses 14. Belady's, which may let a page pass by, misses 8.
  const ProgramResult result = RunProgram({"simulate", Book(), "--budget", "3M", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("core_id"), "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
  EXPECT_EQ(json.at("passes"), 1);
  EXPECT_EQ(json.at("shard_bytes"), 6 << 20) << "two of the eight are never used";
  const std::vector<std::pair<const char*, int>> misses = {
      {"plain_lru", 12}, {"lru", 12}, {"frequency", 14}, {"optimum", 8}};
  ASSERT_EQ(json.at("results").size(), misses.size());
  for (size_t i = 0; i < misses.size(); ++i) {
    const auto& point = json.at("results").at(i);
    EXPECT_EQ(point.at("policy"), misses[i].first);
    EXPECT_EQ(point.at("budget_bytes"), 3 << 20);
    EXPECT_EQ(point.at("tokens"), 1);
    EXPECT_EQ(point.at("bytes_read_per_token"), misses[i].second << 20) << misses[i].first;
    EXPECT_DOUBLE_EQ(point.at("hit_ratio"), 1 - misses[i].second / 20.0) << misses[i].first;
    EXPECT_DOUBLE_EQ(point.at("on_demand_hit_ratio"), 1 - misses[i].second / 20.0);
  }
}

TEST_F(SimulateCommandTest, TableHasARowForEachPoolAndPolicy) {
  const ProgramResult result =
      RunProgram({"simulate", Book(), "--budget", "6M,3M", "--policy", "optimum,lru"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("1 passes, 20 uses of 6.0 MiB of shards"), std::string::npos);
  std::vector<std::string> rows;
  for (size_t at = result.out.find("3.0 MiB"); at < result.out.size();) {
    const size_t end = result.out.find('\n', at);
    rows.push_back(result.out.substr(at, end - at));
    at = end + 1;
  }
  ASSERT_EQ(rows.size(), 4u) << result.out;
  const auto holds = [&rows](size_t row, std::vector<const char*> words) {
    for (const char* word : words) {
      EXPECT_NE(rows[row].find(word), std::string::npos) << word << " is not in " << rows[row];
    }
  };
  holds(0, {"3.0 MiB", "lru", "40.0 %", "12.0 MiB", " 0 %"});
  holds(1, {"3.0 MiB", "optimum", "60.0 %", "8.0 MiB", "100 %"});
  holds(2, {"6.0 MiB", "lru", "70.0 %", "6.0 MiB"});
  holds(3, {"6.0 MiB", "optimum", "70.0 %", "6.0 MiB"});
}

TEST_F(SimulateCommandTest, DrawingsAreWellFormedAndHoldEveryPoint) {
  const auto svg = directory_ / "plot.svg";
  const auto html = directory_ / "plot.html";
  const std::string trace = Write("a<script>&b.trace", TextbookTrace());
  const ProgramResult result =
      RunProgram({"simulate", trace, "--svg", svg.string(), "--html", html.string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string drawing = ReadText(svg);
  EXPECT_TRUE(drawing.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_EQ(MarkupFault(drawing), "");
  size_t points = 0;
  for (size_t at = 0; (at = drawing.find("<circle", at)) != std::string::npos; ++at) ++points;
  EXPECT_EQ(points, 4u * 9) << "four policies, nine pools";
  const std::string page = ReadText(html);
  EXPECT_EQ(MarkupFault(page), "");
  EXPECT_NE(page.find(drawing), std::string::npos);
  EXPECT_NE(page.find("a&lt;script&gt;&amp;b.trace"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
}

TEST_F(SimulateCommandTest, WrongTracesAndArgumentsAreRefused) {
  EXPECT_EQ(RunProgram({"simulate", (directory_ / "none").string()}).exit_code, 3);
  const std::string whole = TextbookTrace();
  const ProgramResult cut =
      RunProgram({"simulate", Write("cut.trace", whole.substr(0, whole.size() - 1))});
  EXPECT_EQ(cut.exit_code, 7);
  EXPECT_NE(cut.err.find("cut.trace"), std::string::npos) << cut.err;
  EXPECT_EQ(RunProgram({"simulate", Write("text.trace", std::string(200, 'x'))}).exit_code, 7);
  EXPECT_EQ(RunProgram({"simulate", Book(), "--policy", "clock"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"simulate", Book(), "--budget", "3Q"}).exit_code, 2);
}

}  // namespace
}  // namespace gguf_shard
