#include "atlas/run_table.h"

#include <algorithm>
#include <limits>

#include "core/bytes.h"
#include "core/check.h"

namespace gguf_shard {
namespace {

constexpr uint64_t kMaxPages = std::numeric_limits<uint32_t>::max();

uint64_t UnitPages(const TensorLayout& layout) {
  return layout.layout == MemoryLayout::kColumnMajor ? layout.pages_per_strip() : 1;
}

// Units that the last run of a slice lacks to be as long as the others.
uint64_t MissingUnits(uint64_t unit_count, uint64_t units_per_run) {
  return DivCeil(unit_count, units_per_run) * units_per_run - unit_count;
}

uint64_t WantedUnitsPerRun(const TensorLayout& layout, uint64_t unit_count,
                           uint32_t target_run_pages) {
  if (layout.layout == MemoryLayout::kColumnMajor) {
    const uint64_t wanted = std::max<uint64_t>(1, target_run_pages / UnitPages(layout));
    return std::min(wanted, std::max<uint64_t>(1, unit_count / kMinRunsPerMatrix));
  }
  const bool is_vector = layout.rows == 1 && layout.slice_count == 1;
  return std::max<uint32_t>(1, is_vector ? target_run_pages : target_run_pages / 4);
}

// The length within a quarter of the wanted one that leaves the last run fullest, and no fewer runs
// than workers want to share.
uint64_t ChooseUnitsPerRun(uint64_t unit_count, uint64_t wanted) {
  const uint64_t min_runs = std::min<uint64_t>(DivCeil(unit_count, wanted), kMinRunsPerMatrix);
  uint64_t best = wanted;
  for (uint64_t units = wanted + wanted / 4; units >= wanted - wanted / 4; --units) {
    if (DivCeil(unit_count, units) < min_runs) continue;
    if (MissingUnits(unit_count, units) < MissingUnits(unit_count, best)) best = units;
  }
  return std::min(best, unit_count);
}

}  // namespace

RunTable::RunTable(const CoreMap& map, uint32_t target_run_pages) {
  GS_CHECK(target_run_pages > 0);
  slices_.resize(map.tensors.size());
  for (uint32_t index = 0; index < map.tensors.size(); ++index) {
    const MapTensor& tensor = map.tensors[index];
    const TensorLayout& layout = tensor.layout;
    if (layout.page_count == 0) continue;
    total_pages_ += layout.page_count;
    GS_CHECK(total_pages_ <= kMaxPages);

    const uint64_t unit_pages = UnitPages(layout);
    const uint64_t unit_count = layout.pages_per_slice / unit_pages;
    const uint64_t units_per_run =
        ChooseUnitsPerRun(unit_count, WantedUnitsPerRun(layout, unit_count, target_run_pages));
    slices_[index] = {static_cast<uint32_t>(runs_.size()),
                      static_cast<uint32_t>(DivCeil(unit_count, units_per_run)),
                      static_cast<uint32_t>(layout.slice_count),
                      static_cast<uint32_t>(units_per_run * unit_pages)};
    for (uint32_t slice = 0; slice < layout.slice_count; ++slice) {
      AddSlice(index, tensor, slice, static_cast<uint32_t>(units_per_run),
               static_cast<uint32_t>(unit_pages));
    }
  }
}

void RunTable::AddSlice(uint32_t tensor_index, const MapTensor& tensor, uint32_t slice,
                        uint32_t units_per_run, uint32_t unit_pages) {
  const PageRange pages = tensor.slice_pages(slice);
  const uint64_t unit_count = pages.page_count / unit_pages;
  for (uint64_t first_unit = 0; first_unit < unit_count; first_unit += units_per_run) {
    Run run;
    run.tensor_index = tensor_index;
    run.slice = slice;
    run.first_unit = first_unit;
    run.unit_count =
        static_cast<uint32_t>(std::min<uint64_t>(units_per_run, unit_count - first_unit));
    run.first_page = pages.first_page + first_unit * unit_pages;
    run.page_count = run.unit_count * unit_pages;
    max_run_pages_ = std::max(max_run_pages_, run.page_count);
    runs_.push_back(run);
  }
}

RunSpan RunTable::RunsOf(uint32_t tensor_index, uint32_t slice) const {
  GS_CHECK(tensor_index < slices_.size());
  const Slices& slices = slices_[tensor_index];
  if (slices.runs_per_slice == 0) return {};
  GS_CHECK(slice < slices.slice_count);
  return {slices.first_run + slice * slices.runs_per_slice, slices.runs_per_slice};
}

RunSpan RunTable::RunsOfTensor(uint32_t tensor_index) const {
  GS_CHECK(tensor_index < slices_.size());
  const Slices& slices = slices_[tensor_index];
  return {slices.first_run, slices.runs_per_slice * slices.slice_count};
}

uint32_t RunTable::RunOfPage(uint32_t tensor_index, uint32_t slice, uint64_t page) const {
  const RunSpan span = RunsOf(tensor_index, slice);
  const uint64_t index = page / slices_[tensor_index].run_pages;
  GS_CHECK(index < span.run_count);
  return span.first_run + static_cast<uint32_t>(index);
}

}  // namespace gguf_shard
