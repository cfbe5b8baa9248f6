#include "forge/batch.h"

#include <gtest/gtest.h>

#include "forge/plan.h"
#include "tests/forge/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

using enum TensorType;

CoreMap PlanOf(const ModelBuilder& builder) {
  TemporaryDirectory temporary;
  builder.Write(temporary / "model.gguf");
  const auto model = OpenGgufModel(temporary / "model.gguf");
  EXPECT_TRUE(model.has_value());
  const auto gaps = FindSourceGaps(*model);
  EXPECT_TRUE(gaps.has_value());
  auto map = PlanCore(*model, *gaps, PlanOptions{});
  EXPECT_TRUE(map.has_value());
  return *std::move(map);
}

ModelBuilder MixedModel() {
  ModelBuilder builder(64);
  builder.Tensor("token_embd.weight", kQ8_0, {320, 900})
      .Tensor("a.scalar", kF32, {})
      .Tensor("blk.0.attn_q.weight", kQ4_K, {512, 777}, 5000)
      .Tensor("blk.0.ffn_up_exps.weight", kQ5_0, {96, 50, 3})
      .Tensor("blk.0.attn_norm.weight", kF32, {512})
      .Trailing(9000);
  return builder;
}

TEST(Segments, CoverEveryByteOfTheSourceInOrder) {
  const CoreMap map = PlanOf(MixedModel());
  const auto segments = SegmentsOf(map);
  ASSERT_TRUE(segments.has_value());
  uint64_t position = 0;
  for (const Segment& segment : *segments) {
    EXPECT_EQ(segment.source_offset, position);
    EXPECT_GT(segment.source_bytes, 0u);
    position += segment.source_bytes;
  }
  EXPECT_EQ(position, map.source.files.front().byte_size);
  EXPECT_EQ(segments->front().kind, SegmentKind::kHeader);
  EXPECT_EQ(segments->back().kind, SegmentKind::kGap);
}

TEST(Segments, RefuseTensorsThatOverlapOrLeaveTheirFile) {
  CoreMap map = PlanOf(MixedModel());
  map.tensors[1].source_offset = map.tensors[0].source_offset + 1;
  const auto overlap = SegmentsOf(map);
  ASSERT_FALSE(overlap.has_value());
  EXPECT_EQ(overlap.error().code(), ErrorCode::kMalformed);

  map = PlanOf(MixedModel());
  map.tensors[0].source_offset = map.source.files.front().byte_size - 1;
  EXPECT_FALSE(SegmentsOf(map).has_value());
}

TEST(Segments, RefuseAModelOfPadding) {
  CoreMap map = PlanOf(MixedModel());
  map.source.files.front().byte_size = uint64_t{1} << 50;
  const auto segments = SegmentsOf(map);
  ASSERT_FALSE(segments.has_value());
  EXPECT_EQ(segments.error().code(), ErrorCode::kTooLarge);
}

TEST(Segments, RefuseAStripThatNoBufferCouldHold) {
  CoreMap map = PlanOf(ModelBuilder().Tensor("blk.0.attn_q.weight", kF16, {16, 16}));
  const uint64_t shape[] = {uint64_t{1} << 22, 1};
  map.tensors[0].layout = *MakeTensorLayout(kF16, shape, 1, MemoryLayout::kColumnMajor, 63, 32);
  const auto segments = SegmentsOf(map);
  ASSERT_FALSE(segments.has_value());
  EXPECT_EQ(segments.error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(segments.error().tensor(), "blk.0.attn_q.weight");
}

// Walks all batches and checks what a batch promises.
void CheckBatches(const CoreMap& map, uint64_t target_bytes) {
  const auto segments = SegmentsOf(map);
  ASSERT_TRUE(segments.has_value());
  BatchCursor cursor(*segments, target_bytes);
  uint64_t position = 0;
  uint64_t pages = 0;
  uint64_t sequence = 0;
  while (const auto batch = cursor.Next()) {
    EXPECT_EQ(batch->sequence, sequence++);
    EXPECT_EQ(batch->source_offset, position);
    uint64_t source_bytes = 0;
    uint64_t page_bytes = 0;
    for (const BatchPiece& piece : batch->pieces) {
      EXPECT_EQ(piece.offset_in_source, source_bytes);
      EXPECT_EQ(piece.offset_in_pages, page_bytes);
      source_bytes += piece.source_bytes;
      page_bytes += piece.page_count * kPageBytes;
    }
    EXPECT_EQ(batch->source_bytes, source_bytes);
    EXPECT_EQ(batch->page_bytes, page_bytes);
    const bool one_unit = batch->pieces.size() == 1 && batch->pieces[0].unit_count == 1;
    EXPECT_TRUE(one_unit || source_bytes <= target_bytes) << source_bytes;
    position += source_bytes;
    pages += page_bytes / kPageBytes;
  }
  EXPECT_EQ(position, map.source.files.front().byte_size);
  EXPECT_EQ(pages, map.core.index.first_page);
}

TEST(Batches, CoverTheSourceWhateverTheirSize) {
  const CoreMap map = PlanOf(MixedModel());
  for (const uint64_t target_bytes : {1, 4096, 10'000, 100'000, 2 << 20}) {
    SCOPED_TRACE(target_bytes);
    CheckBatches(map, target_bytes);
  }
}

TEST(Batches, JoinSmallTensorsAndCutLargeOnes) {
  const CoreMap map = PlanOf(MixedModel());
  const auto segments = SegmentsOf(map);
  BatchCursor whole(*segments, uint64_t{16} << 20);
  ASSERT_TRUE(whole.Next().has_value());
  EXPECT_FALSE(whole.Next().has_value());
  BatchCursor small(*segments, 64 << 10);
  size_t count = 0;
  while (small.Next()) ++count;
  EXPECT_GT(count, 8u);
}

TEST(Batches, PackAndUnpackTheSameBytes) {
  const ModelBuilder builder = MixedModel();
  const std::vector<std::byte> source = builder.Build();
  const CoreMap map = PlanOf(builder);
  const auto segments = SegmentsOf(map);
  BatchCursor cursor(*segments, 50'000);
  while (const auto batch = cursor.Next()) {
    const auto bytes = std::span(source).subspan(batch->source_offset, batch->source_bytes);
    std::vector<std::byte> pages(batch->page_bytes, std::byte{0xEE});
    std::vector<std::byte> back(batch->source_bytes, std::byte{0xEE});
    for (const BatchPiece& piece : batch->pieces) {
      if (piece.page_count > 0) PackPiece((*segments)[piece.segment_index], piece, bytes, pages);
      UnpackPiece((*segments)[piece.segment_index], piece, pages, back);
    }
    EXPECT_TRUE(std::equal(back.begin(), back.end(), bytes.begin(), bytes.end()));
  }
}

}  // namespace
}  // namespace gguf_shard
