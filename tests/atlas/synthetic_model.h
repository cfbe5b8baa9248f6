// A model of random pages for the atlas's tests: a map built by hand, and a page source in memory.
// Every page's content follows from its index, so that a test can tell any page from any other.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "atlas/atlas.h"
#include "atlas/page_source.h"
#include "core/bytes.h"
#include "core/check.h"
#include "core/map.h"
#include "core/page.h"

namespace gguf_shard {

// Numbers for scripted disorder; the same for the same seed.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // 0 .. bound - 1
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(engine_() % bound); }

 private:
  std::mt19937_64 engine_;
};

inline CoreId SyntheticCoreId() {
  CoreId id;
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<std::byte>(0x40 + i);
  return id;
}

class SyntheticModel {
 public:
  // Pages before the first tensor stand for the source header.
  explicit SyntheticModel(uint64_t first_page = 3) : next_page_(first_page) {
    map_.core.id = SyntheticCoreId();
    map_.core.file = "synthetic.gguf";
  }

  // A Q8_0 matrix of `strips` strips of `strip_pages` pages, `slices` times; returns its index.
  uint32_t AddMatrix(std::string name, uint64_t strips, uint64_t strip_pages, uint64_t slices = 1,
                     Zone zone = Zone::kNormal) {
    const uint64_t shape[] = {strip_pages * 128, strips * 30, slices};
    return Add(std::move(name), shape, slices, MemoryLayout::kColumnMajor, zone);
  }
  // A Q8_0 matrix whose rows are gathered, one row to a page.
  uint32_t AddTable(std::string name, uint64_t rows, Zone zone = Zone::kNormal) {
    const uint64_t shape[] = {120 * 32, rows};
    return Add(std::move(name), shape, 1, MemoryLayout::kRowMajor, zone);
  }
  uint32_t AddVector(std::string name, uint64_t pages, Zone zone = Zone::kHigh) {
    const uint64_t shape[] = {pages * 120 * 32};
    return Add(std::move(name), shape, 1, MemoryLayout::kRowMajor, zone);
  }

  const CoreMap& map() const { return map_; }
  CoreMap& map() { return map_; }
  uint64_t page_count() const { return next_page_; }
  uint64_t tensor_pages() const { return RunTable(map_).total_pages(); }

  // The sealed page at an index.
  static void FillPage(uint64_t page_index, std::span<std::byte, kPageBytes> page) {
    std::mt19937_64 random(page_index);
    for (size_t i = 0; i < kPageContentBytes; i += 8) StoreLe<uint64_t>(page.data() + i, random());
    SealPage(SyntheticCoreId(), page_index, page);
  }

 private:
  uint32_t Add(std::string name, std::span<const uint64_t> shape, uint64_t slices,
               MemoryLayout layout, Zone zone) {
    MapTensor tensor;
    tensor.name = std::move(name);
    tensor.shape.assign(shape.begin(), shape.end());
    auto made = MakeTensorLayout(TensorType::kQ8_0, shape, slices, layout, 30, 128);
    GS_CHECK(made.has_value());
    tensor.layout = *made;
    tensor.first_page = next_page_;
    tensor.zone = zone;
    tensor.source_bytes = made->slice_bytes * slices;
    next_page_ += made->page_count;
    map_.core.page_count = next_page_;
    map_.tensors.push_back(std::move(tensor));
    return static_cast<uint32_t>(map_.tensors.size() - 1);
  }

  CoreMap map_;
  uint64_t next_page_;
};

// Serves the pages of a SyntheticModel, and remembers how often each was read.
class MemoryPageSource final : public PageSource {
 public:
  explicit MemoryPageSource(const SyntheticModel& model)
      : pages_(model.page_count() * kPageBytes), reads_(model.page_count()) {
    for (uint64_t i = 0; i < model.page_count(); ++i) {
      SyntheticModel::FillPage(i, PageAt(pages_.data(), i));
    }
  }

  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
    GS_CHECK((first_page * kPageBytes) + target.size() <= pages_.size());
    GS_CHECK(reinterpret_cast<uintptr_t>(target.data()) % kPageBytes == 0);
    const uint64_t page_count = target.size() / kPageBytes;
    std::memcpy(target.data(), pages_.data() + first_page * kPageBytes, target.size());
    for (uint64_t i = 0; i < page_count; ++i) ++reads_[first_page + i];
    const std::lock_guard lock(mutex_);
    ++reads_by_length_[page_count];
    return {};
  }
  std::string Describe() const override { return "memory"; }

  const std::byte* page(uint64_t page_index) const {
    return pages_.data() + page_index * kPageBytes;
  }
  uint64_t reads_of(uint64_t page_index) const { return reads_[page_index]; }
  uint64_t pages_read() const {
    uint64_t sum = 0;
    for (const auto& reads : reads_) sum += reads;
    return sum;
  }
  void ForgetReads() {
    for (auto& reads : reads_) reads = 0;
  }
  uint64_t longest_read_pages() const {
    const std::lock_guard lock(mutex_);
    return reads_by_length_.empty() ? 0 : reads_by_length_.rbegin()->first;
  }

 private:
  std::vector<std::byte> pages_;
  std::vector<std::atomic<uint64_t>> reads_;
  mutable std::mutex mutex_;
  std::map<uint64_t, uint64_t> reads_by_length_;
};

// Whether a pinned run shows exactly the pages of the source.
inline ::testing::AssertionResult ShowsItsPages(const Run& run, const std::byte* pages,
                                                const MemoryPageSource& source) {
  for (uint32_t i = 0; i < run.page_count; ++i) {
    if (std::memcmp(pages + size_t{i} * kPageBytes, source.page(run.first_page + i), kPageBytes) !=
        0) {
      return ::testing::AssertionFailure() << "page " << run.first_page + i << " differs";
    }
  }
  return ::testing::AssertionSuccess();
}

// The run indices of tensors, in order.
inline std::vector<uint32_t> RunsOfTensors(const RunTable& runs,
                                           std::span<const uint32_t> tensors) {
  std::vector<uint32_t> indices;
  for (const uint32_t tensor : tensors) {
    const RunSpan span = runs.RunsOfTensor(tensor);
    for (uint32_t i = 0; i < span.run_count; ++i) indices.push_back(span.first_run + i);
  }
  return indices;
}

}  // namespace gguf_shard
