#include "runtime/device_recorder.h"

#include <algorithm>
#include <array>

namespace gguf_shard {
namespace {

// Where a row lies for the gather shader: the page of the core it begins on, and the block in that
// page (row_major) or the row of its tiles (column_major).
struct RowPlace {
  uint32_t page;
  uint32_t inside;
};

RowPlace PlaceOfRow(const MapTensor& tensor, uint64_t row) {
  const TensorLayout& layout = tensor.layout;
  const RowPages pages = GetRowPages(layout, 0, row);
  const auto page = static_cast<uint32_t>(tensor.first_page + pages.first_page);
  if (layout.layout == MemoryLayout::kColumnMajor) {
    return {page, static_cast<uint32_t>(row % layout.tile_rows)};
  }
  const uint64_t row_blocks = layout.columns / GetTensorType(layout.type).block_weights;
  return {page, static_cast<uint32_t>(row * row_blocks % layout.blocks_per_page())};
}

}  // namespace

Result<gpu::Commands*> DeviceRecorder::Commands() {
  if (!commands_) {
    GS_ASSIGN(gpu::Commands commands, device_.compute_queue().Begin());
    commands_.emplace(std::move(commands));
  }
  return &*commands_;
}

Result<void> DeviceRecorder::Barrier() {
  if (commands_) commands_->Barrier();  // a new wave begins with one
  return {};
}

Result<bool> DeviceRecorder::Need(std::span<const uint32_t> run_indices) {
  for (const uint32_t run_index : run_indices) {
    GS_ASSIGN(const bool resident, atlas_.Need(run_index));
    if (!resident) return false;
  }
  return true;
}

Result<void> DeviceRecorder::NeedInNewWave(std::span<const uint32_t> run_indices) {
  GS_TRY(Submit());
  GS_ASSIGN(const bool resident, Need(run_indices));
  if (resident) return {};
  return Fail(ErrorCode::kBudgetTooSmall,
              "the device's memory for weight pages cannot hold one run of pages; give it a larger "
              "--vram-budget");
}

Result<void> DeviceRecorder::PackFor(std::initializer_list<const DeviceProduct*> products,
                                     const DeviceRows& rows, uint32_t width, uint32_t row_count) {
  const bool wanted = std::ranges::any_of(products, [&](const DeviceProduct* product) {
    return kernels_.UsesIntegerDot(product->matrix.type);
  });
  if (!wanted) return {};
  PackRowsArguments arguments;
  arguments.values = rows.address;
  arguments.rows = rows.packed;
  arguments.columns = width;
  arguments.stride = rows.stride;
  arguments.units = static_cast<uint32_t>(rows.packed_stride / kPackedUnitVectors);
  GS_ASSIGN(gpu::Commands* const commands, Commands());
  GS_TRY(kernels_.PackRows(*commands, row_count, arguments));
  return Barrier();
}

Result<void> DeviceRecorder::Multiply(const DeviceProduct& product, const DeviceRows& x,
                                      const DeviceRows& y, uint32_t token_count, uint64_t x_rows) {
  MatMulArguments arguments;
  arguments.page_table = atlas_.page_table_address();
  const bool packed = kernels_.UsesIntegerDot(product.matrix.type);
  arguments.x = packed ? x.packed : x.address;
  arguments.y = y.address;
  arguments.x_rows = x_rows;
  arguments.token_count = token_count;
  arguments.x_stride = packed ? x.packed_stride : x.stride;
  arguments.y_stride = y.stride;
  const RunTable& table = atlas_.run_table();
  const RunSpan runs = table.RunsOf(product.slice.tensor_index, product.slice.slice);
  uint64_t first_strip = 0;
  uint64_t end_strip = 0;
  for (uint32_t index = runs.first_run; index < runs.first_run + runs.run_count; ++index) {
    const std::array<uint32_t, 1> needed = {index};
    GS_ASSIGN(const bool resident, Need(needed));
    if (!resident) {
      GS_TRY(MultiplyStrips(product, first_strip, end_strip, arguments));
      first_strip = end_strip;
      GS_TRY(NeedInNewWave(needed));
    }
    end_strip = table.run(index).first_unit + table.run(index).unit_count;
  }
  return MultiplyStrips(product, first_strip, end_strip, arguments);
}

Result<void> DeviceRecorder::MultiplyStrips(const DeviceProduct& product, uint64_t first_strip,
                                            uint64_t end_strip, const MatMulArguments& arguments) {
  if (first_strip == end_strip) return {};
  GS_ASSIGN(gpu::Commands* const commands, Commands());
  return kernels_.MatMul(*commands, product.matrix, static_cast<uint32_t>(first_strip),
                         static_cast<uint32_t>(end_strip - first_strip), arguments);
}

std::span<const uint32_t> DeviceRecorder::RunsOfRow(const MatrixSlice& table,
                                                    const RowPages& pages) {
  const RunTable& runs = atlas_.run_table();
  const uint32_t first = runs.RunOfPage(table.tensor_index, 0, pages.first_page);
  const uint32_t last =
      runs.RunOfPage(table.tensor_index, 0, pages.first_page + pages.page_count - 1);
  row_runs_.clear();
  for (uint32_t index = first; index <= last; ++index) row_runs_.push_back(index);
  return row_runs_;
}

Result<void> DeviceRecorder::Gather(const MatrixSlice& table, std::span<const TokenId> tokens,
                                    const SharedSpan<uint32_t>& places, const DeviceRows& values) {
  const MapTensor& tensor = map_.tensors[table.tensor_index];
  GatherArguments arguments;
  arguments.page_table = atlas_.page_table_address();
  arguments.places = places.address;
  arguments.values = values.address;
  arguments.columns = static_cast<uint32_t>(tensor.layout.columns);
  arguments.stride = values.stride;
  const auto record = [&](size_t end) -> Result<void> {
    if (arguments.first_token == end) return {};
    GS_ASSIGN(gpu::Commands* const commands, Commands());
    const auto count = static_cast<uint32_t>(end - arguments.first_token);
    GS_TRY(kernels_.Gather(*commands, tensor.layout, count, arguments));
    arguments.first_token = static_cast<uint32_t>(end);
    return {};
  };
  for (size_t index = 0; index < tokens.size(); ++index) {
    const RowPlace place = PlaceOfRow(tensor, static_cast<uint64_t>(tokens[index]));
    places.host[index * 2] = place.page;
    places.host[index * 2 + 1] = place.inside;
    const auto needed =
        RunsOfRow(table, GetRowPages(tensor.layout, 0, static_cast<uint64_t>(tokens[index])));
    GS_ASSIGN(const bool resident, Need(needed));
    if (resident) continue;
    GS_TRY(record(index));
    GS_TRY(NeedInNewWave(needed));
  }
  return record(tokens.size());
}

void DeviceRecorder::Announce(std::span<const DeviceProduct* const> products) {
  announced_runs_.clear();
  for (const DeviceProduct* product : products) {
    const RunSpan runs =
        atlas_.run_table().RunsOf(product->slice.tensor_index, product->slice.slice);
    for (uint32_t run = 0; run < runs.run_count; ++run) {
      announced_runs_.push_back(runs.first_run + run);
    }
  }
  atlas_.Prefetch(announced_runs_);
}

Result<void> DeviceRecorder::Submit() {
  gpu::TimelinePoint end = device_.compute_queue().Latest();
  if (commands_) {
    GS_TRY(atlas_.Publish());
    gpu::Commands commands = std::move(*commands_);
    commands_.reset();
    GS_ASSIGN(end, device_.compute_queue().Submit(std::move(commands)));
    ++wave_count_;
  }
  atlas_.EndWave(end);
  return {};
}

Result<void> DeviceRecorder::Finish() {
  GS_TRY(Submit());
  const gpu::TimelinePoint last = device_.compute_queue().Latest();
  if (device_.compute_queue().HasPassed(last.value)) return {};
  ++wait_count_;
  return device_.compute_queue().Wait(last.value);
}

void DeviceRecorder::Abandon() {
  commands_.reset();
  atlas_.EndWave(device_.compute_queue().Latest());
}

}  // namespace gguf_shard
