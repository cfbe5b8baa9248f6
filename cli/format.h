// Numbers for people: sizes, rates, times, and tables in columns. Thread-safety: pure functions; a
// table is for one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gguf_shard {

// Text from outside, for a terminal: control characters become spaces, and what is longer than
// `max_characters` is cut between UTF-8 characters and ends in "...".
std::string Printable(std::string_view text, size_t max_characters = SIZE_MAX);

std::string FormatBytes(uint64_t bytes);          // "512 B", "3.4 MiB", "1.50 GiB"
std::string FormatRate(double bytes_per_second);  // "1.2 GB/s", decimal as disks are sold
std::string FormatDuration(double seconds);       // "0:07", "12:34", "1:02:03"

enum class Align { kLeft, kRight };

// Rows of text cells, aligned in columns two spaces apart; the first row is the heading.
class TextTable {
 public:
  explicit TextTable(std::vector<Align> columns) : columns_(std::move(columns)) {}
  // `cells` has as many entries as there are columns.
  void AddRow(std::vector<std::string> cells);
  std::string ToString() const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace gguf_shard
