#include "atlas/frame_cache.h"

#include "core/check.h"

namespace gguf_shard {
namespace {

uint8_t EvictionRank(Zone zone) {
  switch (zone) {
    case Zone::kCold:
      return 0;
    case Zone::kNormal:
      return 1;
    case Zone::kHigh:
      return 2;
  }
  return 1;
}

}  // namespace

FrameCache::FrameCache(std::span<const FrameClass> classes, CachePolicy policy, uint32_t run_count)
    : policy_(policy), ranks_(policy, policy == CachePolicy::kLru ? 0 : run_count) {
  for (const FrameClass& frame_class : classes) {
    const auto first = static_cast<uint32_t>(frames_.size());
    const auto class_index = static_cast<uint16_t>(classes_.size());
    for (uint32_t i = 0; i < frame_class.frame_count; ++i) {
      Frame frame{};
      frame.run_index = kNone;
      frame.slot = frame_class.first_slot + i * frame_class.frame_pages;
      frame.next = i + 1 < frame_class.frame_count ? first + i + 1 : kNone;
      frame.frame_class = class_index;
      frame.state = State::kFree;
      frames_.push_back(frame);
    }
    Class owner;
    owner.frame_count = frame_class.frame_count;
    if (owner.frame_count > 0) owner.free_head = first;
    for (RankedFrames& used : owner.used) used.reserve(owner.frame_count);
    classes_.push_back(owner);
  }
}

std::optional<uint32_t> FrameCache::Next(uint32_t frame_class, bool for_prefetch) const {
  if (frame_class >= classes_.size()) return std::nullopt;
  const Class& owner = classes_[frame_class];
  if (owner.free_head != kNone) return owner.free_head;
  return Victim(owner, for_prefetch);
}

void FrameCache::Take(uint32_t frame_index, uint32_t run_index) {
  Frame& frame = frames_[frame_index];
  Class& owner = classes_[frame.frame_class];
  GS_CHECK(frame.state == State::kFree && owner.free_head == frame_index);
  owner.free_head = frame.next;
  frame.state = State::kBusy;
  frame.run_index = run_index;
}

FrameCache::RankedFrames& FrameCache::UsedOf(const Frame& frame) {
  return classes_[frame.frame_class].used[frame.zone_rank];
}

FrameCache::List& FrameCache::SparedOf(const Frame& frame) {
  return classes_[frame.frame_class].spared[frame.zone_rank];
}

void FrameCache::CountUse(uint32_t frame_index, double pass) {
  const Frame& frame = frames_[frame_index];
  ++classes_[frame.frame_class].use_count;
  if (policy_ != CachePolicy::kLru) ranks_.NoteUse(frame.run_index, pass);
}

// Ranked frames -----------------------------------------------------------------------------------

void FrameCache::Place(RankedFrames& heap, uint32_t position, uint32_t frame) {
  heap[position] = frame;
  frames_[frame].heap_position = position;
}

void FrameCache::SiftUp(RankedFrames& heap, uint32_t position) {
  const uint32_t frame = heap[position];
  for (; position > 0; position = (position - 1) / 2) {
    const uint32_t above = heap[(position - 1) / 2];
    if (RankOf(above) <= RankOf(frame)) break;
    Place(heap, position, above);
  }
  Place(heap, position, frame);
}

void FrameCache::SiftDown(RankedFrames& heap, uint32_t position) {
  const uint32_t frame = heap[position];
  for (uint32_t below = 2 * position + 1; below < heap.size(); below = 2 * position + 1) {
    if (below + 1 < heap.size() && RankOf(heap[below + 1]) < RankOf(heap[below])) ++below;
    if (RankOf(frame) <= RankOf(heap[below])) break;
    Place(heap, position, heap[below]);
    position = below;
  }
  Place(heap, position, frame);
}

void FrameCache::PushRanked(RankedFrames& heap, uint32_t frame) {
  heap.push_back(frame);
  SiftUp(heap, static_cast<uint32_t>(heap.size() - 1));
}

void FrameCache::EraseRanked(RankedFrames& heap, uint32_t frame) {
  const uint32_t position = frames_[frame].heap_position;
  const uint32_t last = heap.back();
  heap.pop_back();
  if (last == frame) return;
  Place(heap, position, last);
  SiftUp(heap, position);
  SiftDown(heap, frames_[last].heap_position);
}

// Victims -----------------------------------------------------------------------------------------

// Whether a spared frame has waited for its use for too long.
bool FrameCache::IsExpired(const Class& owner, uint32_t frame) const {
  return owner.use_count - frames_[frame].made_idle_at_use >= owner.frame_count;
}

std::optional<uint32_t> FrameCache::Victim(const Class& owner, bool for_prefetch) const {
  for (uint8_t rank = 0; rank < kZoneCount; ++rank) {
    const uint32_t spared = owner.spared[rank].oldest;
    if (spared != kNone && IsExpired(owner, spared)) return spared;
    if (!owner.used[rank].empty()) return owner.used[rank].front();
  }
  if (for_prefetch) return std::nullopt;
  for (const List& list : owner.spared) {
    if (list.oldest != kNone) return list.oldest;
  }
  return std::nullopt;
}

void FrameCache::MakeIdle(uint32_t frame_index, Zone zone, bool unused_prefetch) {
  Frame& frame = frames_[frame_index];
  GS_CHECK(frame.state == State::kBusy);
  frame.state = State::kIdle;
  frame.zone_rank = EvictionRank(zone);
  frame.unused_prefetch = unused_prefetch;
  frame.made_idle_at_use = classes_[frame.frame_class].use_count;
  ++idle_count_;
  if (!unused_prefetch) {
    frame.rank = policy_ == CachePolicy::kLru ? static_cast<double>(idle_count_)
                                              : ranks_.RankOf(frame.run_index);
    return PushRanked(UsedOf(frame), frame_index);
  }
  List& list = SparedOf(frame);
  frame.previous = list.newest;
  frame.next = kNone;
  (list.newest == kNone ? list.oldest : frames_[list.newest].next) = frame_index;
  list.newest = frame_index;
}

void FrameCache::Unlink(uint32_t frame_index) {
  Frame& frame = frames_[frame_index];
  if (!frame.unused_prefetch) return EraseRanked(UsedOf(frame), frame_index);
  List& list = SparedOf(frame);
  (frame.previous == kNone ? list.oldest : frames_[frame.previous].next) = frame.next;
  (frame.next == kNone ? list.newest : frames_[frame.next].previous) = frame.previous;
}

void FrameCache::MakeBusy(uint32_t frame_index) {
  Frame& frame = frames_[frame_index];
  GS_CHECK(frame.state == State::kIdle);
  Unlink(frame_index);
  frame.state = State::kBusy;
}

void FrameCache::Free(uint32_t frame_index) {
  Frame& frame = frames_[frame_index];
  GS_CHECK(frame.state != State::kFree);
  if (frame.state == State::kIdle) Unlink(frame_index);
  Class& owner = classes_[frame.frame_class];
  frame.state = State::kFree;
  frame.run_index = kNone;
  frame.next = owner.free_head;
  owner.free_head = frame_index;
}

}  // namespace gguf_shard
