// Records a pass for a device whose memory may not hold all of the model: waves.
//
// The pass is walked in order. Before a dispatch is recorded, the runs of pages that it reads are
// asked for; when the atlas has no room for another one, what was recorded so far is submitted (the
// wave), its runs become free to leave as it ends, and the walk goes on. A matrix may thus be split
// between waves, by whole strips. With everything resident a wave has several layers.
//
// Dispatches within a wave are ordered by Barrier() alone; waves follow one another.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "atlas/vulkan_atlas.h"
#include "core/error.h"
#include "gpu/device.h"
#include "gpu/queue.h"
#include "kernels/vulkan/device_kernels.h"
#include "runtime/device_weights.h"
#include "runtime/device_workspace.h"
#include "runtime/tokenizer.h"

namespace gguf_shard {

class DeviceRecorder {
 public:
  DeviceRecorder(gpu::Device& device, VulkanAtlas& atlas, DeviceKernels& kernels,
                 const CoreMap& map)
      : device_(device), atlas_(atlas), kernels_(kernels), map_(map) {}

  DeviceKernels& kernels() { return kernels_; }
  bool everything_fits() const { return atlas_.everything_fits(); }
  // The commands of the wave that is being recorded.
  Result<gpu::Commands*> Commands();
  Result<void> Barrier();

  // y[i] = W x[row i], for `token_count` tokens; x_rows as in MatMulArguments. x has been packed
  // for the product.
  Result<void> Multiply(const DeviceProduct& product, const DeviceRows& x, const DeviceRows& y,
                        uint32_t token_count, uint64_t x_rows = 0);
  // Packs rows for those of the products that are integer dot products; with a barrier behind.
  Result<void> PackFor(std::initializer_list<const DeviceProduct*> products, const DeviceRows& rows,
                       uint32_t width, uint32_t row_count);
  // values[i] = row tokens[i] of the table; `places` gets where they lie.
  Result<void> Gather(const MatrixSlice& table, std::span<const TokenId> tokens,
                      const SharedSpan<uint32_t>& places, const DeviceRows& values);
  // Names the runs of these matrices, which will be needed soon, in order of use.
  void Announce(std::span<const DeviceProduct* const> products);

  // Submits what was recorded.
  Result<void> Submit();
  // The same, and waits until all of it has ended.
  Result<void> Finish();

  // Forgets what was recorded, after an error.
  void Abandon();

  // Submissions so far, and how often the host waited for one to end.
  uint64_t wave_count() const { return wave_count_; }
  uint64_t wait_count() const { return wait_count_; }

 private:
  Result<void> MultiplyStrips(const DeviceProduct& product, uint64_t first_strip,
                              uint64_t end_strip, const MatMulArguments& arguments);
  // Whether all of these runs are resident for the wave; false: it is full.
  Result<bool> Need(std::span<const uint32_t> run_indices);
  // After Need said no: submits, and asks again for a wave of their own.
  Result<void> NeedInNewWave(std::span<const uint32_t> run_indices);
  std::span<const uint32_t> RunsOfRow(const MatrixSlice& table, const RowPages& pages);

  gpu::Device& device_;
  VulkanAtlas& atlas_;
  DeviceKernels& kernels_;
  const CoreMap& map_;
  std::optional<gpu::Commands> commands_;
  std::vector<uint32_t> announced_runs_;  // keeps its capacity
  std::vector<uint32_t> row_runs_;        // keeps its capacity
  uint64_t wave_count_ = 0;
  uint64_t wait_count_ = 0;
};

}  // namespace gguf_shard
