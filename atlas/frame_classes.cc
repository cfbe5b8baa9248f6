#include "atlas/frame_classes.h"

#include <algorithm>
#include <functional>
#include <map>

namespace gguf_shard {
namespace {

constexpr size_t kMaxClasses = 8;

// On-demand runs of nearly one length.
struct Group {
  uint32_t frame_pages;
  uint64_t run_count;
  uint64_t weight_pages() const { return frame_pages * run_count; }
};

bool SharesFrames(uint32_t run_pages, uint32_t frame_pages) {
  return uint64_t{run_pages} * 8 >= uint64_t{frame_pages} * 7;
}

// The last run of a slice counts with the length of the others: it takes a whole frame anyway.
std::vector<Group> GroupOnDemandRuns(const RunTable& runs, const Schedule& schedule) {
  std::map<uint32_t, uint64_t, std::greater<>> run_count_by_pages;
  uint32_t tensor_run_pages = 0;
  for (uint32_t i = 0; i < runs.run_count(); ++i) {
    const Run& run = runs.run(i);
    if (run.slice == 0 && run.first_unit == 0) tensor_run_pages = run.page_count;
    if (schedule.PositionOf(i) == Schedule::kNoPosition) ++run_count_by_pages[tensor_run_pages];
  }
  std::vector<Group> groups;
  for (const auto& [pages, count] : run_count_by_pages) {
    const bool joins = !groups.empty() && (SharesFrames(pages, groups.back().frame_pages) ||
                                           groups.size() == kMaxClasses);
    if (joins) {
      groups.back().run_count += count;
    } else {
      groups.push_back({pages, count});
    }
  }
  return groups;
}

// Frames per group; nothing when a group would get none.
std::vector<uint32_t> ShareOut(const std::vector<Group>& groups, uint64_t cache_pages) {
  uint64_t all_pages = 0;
  for (const Group& group : groups) all_pages += group.weight_pages();
  std::vector<uint32_t> counts;
  for (const Group& group : groups) {
    const double share = static_cast<double>(group.weight_pages()) / static_cast<double>(all_pages);
    const auto pages = static_cast<uint64_t>(share * static_cast<double>(cache_pages));
    const uint64_t count = std::min(pages / group.frame_pages, group.run_count);
    if (count == 0) return {};
    counts.push_back(static_cast<uint32_t>(count));
  }
  return counts;
}

uint8_t SmallestClassFor(const std::vector<FrameClass>& classes, uint32_t run_pages) {
  // Classes are in order of falling length, the universal one first.
  size_t best = 0;
  for (size_t i = 1; i < classes.size(); ++i) {
    if (classes[i].frame_pages >= run_pages) best = i;
  }
  return static_cast<uint8_t>(best);
}

}  // namespace

FrameDivision DivideFrames(const RunTable& runs, const Schedule& schedule, FrameClass universal,
                           uint64_t cache_pages) {
  std::vector<Group> groups = GroupOnDemandRuns(runs, schedule);
  std::vector<uint32_t> counts = ShareOut(groups, cache_pages);
  if (counts.empty() && !groups.empty()) {
    // Too little to divide: one class that holds them all.
    Group all{groups.front().frame_pages, 0};
    for (const Group& group : groups) all.run_count += group.run_count;
    groups = {all};
    counts = ShareOut(groups, cache_pages);
  }
  FrameDivision division;
  division.classes = {universal};
  uint64_t left_pages = cache_pages;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (SharesFrames(groups[i].frame_pages, universal.frame_pages)) continue;  // see below
    division.classes.push_back({0, groups[i].frame_pages, counts[i]});
    left_pages -= division.classes.back().page_count();
  }
  // What is left, the share of the longest runs included, becomes universal frames.
  division.classes[0].frame_count += static_cast<uint32_t>(left_pages / universal.frame_pages);
  for (FrameClass& frame_class : division.classes) {
    frame_class.first_slot = static_cast<uint32_t>(division.page_count);
    division.page_count += frame_class.page_count();
  }
  for (const Run& run : runs.runs()) {
    division.class_of_run.push_back(SmallestClassFor(division.classes, run.page_count));
  }
  return division;
}

}  // namespace gguf_shard
