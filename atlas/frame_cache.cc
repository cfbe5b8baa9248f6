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

FrameCache::FrameCache(std::span<const FrameClass> classes) {
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
    classes_.push_back(
        {frame_class.frame_count, frame_class.frame_count > 0 ? first : kNone, 0, {}});
  }
}

std::optional<uint32_t> FrameCache::TakeFree(uint32_t frame_class) {
  Class& owner = classes_[frame_class];
  if (owner.free_head == kNone) return std::nullopt;
  const uint32_t frame = owner.free_head;
  owner.free_head = frames_[frame].next;
  frames_[frame].state = State::kBusy;
  return frame;
}

bool FrameCache::ProtectedFromPrefetch(const Frame& frame, const Class& owner) const {
  return frame.unused_prefetch && owner.use_count - frame.made_idle_at_use < owner.frame_count;
}

std::optional<uint32_t> FrameCache::Victim(uint32_t frame_class, bool for_prefetch) const {
  const Class& owner = classes_[frame_class];
  for (const List& list : owner.idle) {
    if (list.oldest == kNone) continue;
    if (for_prefetch && ProtectedFromPrefetch(frames_[list.oldest], owner)) continue;
    return list.oldest;
  }
  return std::nullopt;
}

void FrameCache::MakeIdle(uint32_t frame_index, Zone zone, bool unused_prefetch) {
  Frame& frame = frames_[frame_index];
  GS_CHECK(frame.state == State::kBusy);
  Class& owner = classes_[frame.frame_class];
  frame.list = EvictionRank(zone);
  List& list = owner.idle[frame.list];
  frame.state = State::kIdle;
  frame.unused_prefetch = unused_prefetch;
  frame.made_idle_at_use = owner.use_count;
  frame.previous = list.newest;
  frame.next = kNone;
  (list.newest == kNone ? list.oldest : frames_[list.newest].next) = frame_index;
  list.newest = frame_index;
}

void FrameCache::Unlink(uint32_t frame_index) {
  Frame& frame = frames_[frame_index];
  List& list = classes_[frame.frame_class].idle[frame.list];
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
