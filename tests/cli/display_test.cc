// Sizes as people write and read them, the progress bar, tables, exit codes.
#include <gtest/gtest.h>

#include <set>

#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/size_argument.h"

namespace gguf_shard {
namespace {

TEST(ByteSize, IsReadWithItsUnit) {
  EXPECT_EQ(*ParseByteSize("4096"), 4096u);
  EXPECT_EQ(*ParseByteSize("4096B"), 4096u);
  EXPECT_EQ(*ParseByteSize("512M"), 512u << 20);
  EXPECT_EQ(*ParseByteSize("512m"), 512u << 20);
  EXPECT_EQ(*ParseByteSize("2G"), uint64_t{2} << 30);
  EXPECT_EQ(*ParseByteSize("1.5GiB"), uint64_t{3} << 29);
  EXPECT_EQ(*ParseByteSize("800MB"), 800'000'000u);
  EXPECT_EQ(*ParseByteSize("1kb"), 1000u);
  EXPECT_EQ(*ParseByteSize("1T"), uint64_t{1} << 40);
  EXPECT_EQ(*ParseByteSize("0.3"), 0u);
}

TEST(ByteSize, RefusesWhatIsNone) {
  for (const char* text : {"", "M", "-1", "-5M", "1X", "1MBB", "1 M", " 1", "1e3", "nan", "inf",
                           "0x10", "99999999999999999999", "9000000T", "1M2"}) {
    const auto size = ParseByteSize(text);
    EXPECT_FALSE(size.has_value()) << text;
    if (!size) {
      EXPECT_EQ(size.error().code(), ErrorCode::kInvalidArgument);
    }
  }
}

TEST(Format, ShowsSizesRatesAndTimes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{3} << 29), "1.50 GiB");
  EXPECT_EQ(FormatBytes(uint64_t{5} << 50), "5120.00 TiB");
  EXPECT_EQ(FormatRate(1.234e9), "1.23 GB/s");
  EXPECT_EQ(FormatRate(5.6e7), "56 MB/s");
  EXPECT_EQ(FormatRate(100), "0 kB/s");
  EXPECT_EQ(FormatDuration(7.4), "0:07");
  EXPECT_EQ(FormatDuration(754), "12:34");
  EXPECT_EQ(FormatDuration(3723), "1:02:03");
  EXPECT_EQ(FormatDuration(-1), "0:00");
}

TEST(Format, MakesForeignTextSafeForATerminal) {
  EXPECT_EQ(Printable("a\x1b[31mb\nc\x7f"), "a [31mb c ");
  EXPECT_EQ(Printable("h\u00e9llo", 2), "h\u00e9...");
  EXPECT_EQ(Printable("h\u00e9", 2), "h\u00e9");
}

TEST(TextTable, AlignsItsColumns) {
  TextTable table({Align::kLeft, Align::kRight});
  table.AddRow({"name", "n"});
  table.AddRow({"a", "100"});
  EXPECT_EQ(table.ToString(), "name    n\na     100\n");
}

TEST(ProgressBar, ShowsShareRateAndRemainingTime) {
  const ProgressState half{"packing", 50'000'000, 100'000'000, 0.5};
  EXPECT_EQ(RenderBar(half, 100), "packing  [############............]  50%  100 MB/s  0:01 left");
  EXPECT_EQ(RenderBar(half, 12), "packing  [##");
  EXPECT_EQ(RenderLine(half), "packing: 50% of 95.4 MiB, 100 MB/s, 0:01 left");
}

TEST(ProgressBar, ShowsTheEndsOfTheWay) {
  EXPECT_EQ(RenderBar({"x", 0, 100, 0}, 100), "x  [........................]   0%  0 kB/s");
  EXPECT_EQ(RenderLine({"x", 1 << 20, 1 << 20, 2}), "x: 1.0 MiB in 0:02, 524 kB/s");
  EXPECT_EQ(RenderLine({"x", 0, 0, 0}), "x: 0 B in 0:00, 0 kB/s");
  // More than was announced is no more than everything.
  EXPECT_EQ(RenderBar({"check", 30, 120, 1, true}, 100),
            "check  [######..................]  25%  0:03 left");
  EXPECT_EQ(RenderLine({"check", 30, 120, 1, true}), "check: 25% of 120, 0:03 left");
  EXPECT_EQ(RenderLine({"check", 120, 120, 4, true}), "check: 120 in 0:04");
  EXPECT_EQ(RenderBar({"x", 200, 100, 1}, 100), "x  [########################] 100%  0 kB/s");
}

TEST(ExitCodes, AreTheDocumentedOnes) {
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kInvalidArgument)), 2);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kNotFound)), 3);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kAlreadyExists)), 4);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kIo)), 5);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kChecksumMismatch)), 6);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kMalformed)), 7);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kTruncated)), 7);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kTooLarge)), 7);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kUnsupported)), 8);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kMismatch)), 9);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kNoSpace)), 10);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kOutOfMemory)), 11);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kBudgetTooSmall)), 12);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kDevice)), 13);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(ErrorCode::kCancelled)), 130);
}

}  // namespace
}  // namespace gguf_shard
