// What a Vulkan device does with pages, as one table in Markdown that names the device:
//
//   vulkan_bench [N]      Vulkan's number of the device; the best one without it
//
//   read, copy        the device's own rates: all others are set against them
//   tag check         every tag of the region
//   matrix-vector     one token against weights of each type, each matrix after the one before; the
//                     results are compared with the processor's first
//   link              host memory to device memory, by each way there is
//   paging            a model of twice the device's budget, streamed from host memory: copied,
//                     checked and shown, with nothing computed
//   swap              two sets of 8 runs in turns: the change of the table when both are resident,
//   and
//                     all of a swap when neither is
//
// GGUF_SHARD_BENCH_MIB sets the size of the region (1024; 64 on a processor). Ratios come from
// measurements in turns. bench/vulkan_bench.sh adds whole models.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "atlas/page_pool.h"
#include "atlas/vulkan_slots.h"
#include "atlas/vulkan_tag_check.h"
#include "bench/vulkan/measure.h"
#include "bench/vulkan/paging.h"
#include "core/bytes.h"
#include "gpu/buffer.h"
#include "gpu/kernel.h"
#include "kernels/vulkan/device_kernels.h"
#include "tests/kernels/test_matrix.h"

namespace gguf_shard {

namespace vulkan_bench_shaders {
std::span<const gpu::Shader> All();
}

namespace {

constexpr uint32_t kColumns = 4096;
constexpr uint64_t kMatrixBytes = uint64_t{32} << 20;  // of a large model's matrix, about
constexpr uint32_t kPatternStrips = 4;

double Gigabytes(uint64_t bytes, double seconds) {
  return static_cast<double>(bytes) * 1e-9 / seconds;
}

// A rate, and (where `of` names it) its ratio to another one.
void Row(const std::string& work, double rate, double ratio = 0, const std::string& of = {}) {
  fmt::print("| {} | {:.2f} GB/s | {} |\n", work, rate,
             of.empty() ? "" : fmt::format("{:.2f} of {}", ratio, of));
  std::fflush(stdout);
}

void Row(const std::string& work, const SwapTimes& times) {
  fmt::print("| {} | {:.0f} us | half within {:.0f}, 99 % within {:.0f} |\n", work,
             times.mean_seconds * 1e6, times.p50_seconds * 1e6, times.p99_seconds * 1e6);
}

// Products of floats: integer dot products would want their activations packed.
KernelTuning FloatTuning(const gpu::DeviceInfo& info) {
  KernelTuning tuning = TuningFor(info);
  tuning.integer_dot = false;
  return tuning;
}

class Bench {
 public:
  static Result<Bench> Create(gpu::Device& device) {
    Bench bench(device);
    const bool is_processor = device.info().type == gpu::DeviceType::kCpu;
    const char* wish = std::getenv("GGUF_SHARD_BENCH_MIB");
    const uint64_t mebibytes =
        wish != nullptr ? std::strtoull(wish, nullptr, 10) : (is_processor ? 64 : 1024);
    const uint64_t pages = std::clamp<uint64_t>(mebibytes, 16, 16384) << 8;
    GS_ASSIGN(bench.slots_,
              VulkanSlots::Allocate(device, pages, VulkanSlots::BytesFor(device, pages)));
    const uint64_t count = bench.slots_.slot_count();
    GS_ASSIGN(bench.staging_, gpu::Buffer::Allocate(device, gpu::MemoryKind::kUpload, 64 << 20));
    GS_ASSIGN(bench.table_, gpu::Buffer::Allocate(device, gpu::MemoryKind::kDevice, count * 8));
    GS_ASSIGN(bench.small_, gpu::Buffer::Allocate(device, gpu::MemoryKind::kReadback,
                                                  std::max<uint64_t>(count * 16, 16 << 20)));
    GS_TRY(bench.WriteTable());
    return bench;
  }

  Result<void> Rates();
  Result<void> TagCheck();
  Result<void> MatrixVector(TensorType type);
  Result<double> LinkRate(TransferMethod method);
  Result<void> Paging();

 private:
  explicit Bench(gpu::Device& device)
      : device_(device),
        timer_(device.compute_queue()),
        kernels_(device, {}, FloatTuning(device.info())),
        region_bytes_(0) {}

  Result<void> WriteTable();
  Result<void> Run(const RecordWork& work) {
    GS_TRY(timer_.Once(work, 1));
    return {};
  }
  Result<void> RecordRead(gpu::Commands& commands);
  Result<void> Fill(const TestMatrix& pattern);
  Result<void> CheckNumbers(const TestMatrix& pattern, uint32_t rows, std::span<const float> x);
  std::vector<VulkanSlots::Piece> Region() const {
    return slots_.Pieces(0, static_cast<uint32_t>(slots_.slot_count()));
  }

  gpu::Device& device_;
  QueueTimer timer_;
  DeviceKernels kernels_;
  VulkanSlots slots_;
  gpu::Buffer staging_;
  gpu::Buffer table_;
  gpu::Buffer small_;  // results; x, then y
  std::optional<gpu::Kernel> read_;
  std::optional<VulkanTagCheck> check_;
  uint64_t region_bytes_;
};

// In pieces of the staging buffer: the whole table of 1 GiB is 2 MiB.
Result<void> Bench::WriteTable() {
  region_bytes_ = slots_.slot_count() * kPageBytes;
  for (uint32_t slot = 0; slot < slots_.slot_count(); ++slot) {
    StoreLe<uint64_t>(staging_.mapped() + uint64_t{slot} * 8, slots_.address(slot));
  }
  GS_TRY(Run([&](gpu::Commands& commands) -> Result<void> {
    commands.Copy(staging_, 0, table_, 0, slots_.slot_count() * 8);
    for (const auto& piece : Region()) {
      commands.Fill(*piece.buffer, piece.offset, uint64_t{piece.slot_count} * kPageBytes, 0x11);
    }
    return {};
  }));
  gpu::KernelOptions options;
  options.push_constant_bytes = 24;
  GS_ASSIGN(auto read,
            gpu::Kernel::Create(device_, gpu::FindShader(vulkan_bench_shaders::All(), "plain_read"),
                                options));
  read_.emplace(std::move(read));
  CoreId id{};
  GS_ASSIGN(auto check, VulkanTagCheck::Create(device_, id));
  check_.emplace(std::move(check));
  return {};
}

Result<void> Bench::RecordRead(gpu::Commands& commands) {
  constexpr uint32_t kVectorsPerGroup = 4096;  // 64 KiB
  for (const auto& piece : Region()) {
    const struct {
      uint64_t region;
      uint64_t sums;
      uint32_t vectors_per_group;
      uint32_t vector_count;
    } push{piece.address, small_.address(), kVectorsPerGroup,
           static_cast<uint32_t>(uint64_t{piece.slot_count} * kPageBytes / 16)};
    commands.Dispatch(*read_, push,
                      static_cast<uint32_t>(DivCeil(push.vector_count, kVectorsPerGroup)));
  }
  return {};
}

Result<void> Bench::Rates() {
  const auto piece = Region().front();
  const uint64_t bytes = uint64_t{piece.slot_count} * kPageBytes / 2;
  const RecordWork copy = [&](gpu::Commands& commands) -> Result<void> {
    commands.Copy(*piece.buffer, piece.offset, *piece.buffer, piece.offset + bytes, bytes);
    return {};
  };
  GS_ASSIGN(const auto pair,
            timer_.Compare([&](auto& commands) { return RecordRead(commands); }, copy));
  Row("read", Gigabytes(region_bytes_, pair.first));
  Row("copy (bytes copied, each read and written)", Gigabytes(bytes, pair.second));
  return {};
}

Result<void> Bench::TagCheck() {
  const RecordWork check = [&](gpu::Commands& commands) -> Result<void> {
    for (const auto& piece : Region()) {
      check_->Record(commands, piece.address, piece.first_slot, piece.slot_count,
                     small_.address() + uint64_t{piece.first_slot} * sizeof(TagResult));
    }
    return {};
  };
  const auto piece = Region().front();
  const uint64_t bytes = uint64_t{piece.slot_count} * kPageBytes / 2;
  const RecordWork copy = [&](gpu::Commands& commands) -> Result<void> {
    commands.Copy(*piece.buffer, piece.offset, *piece.buffer, piece.offset + bytes, bytes);
    return {};
  };
  GS_ASSIGN(const auto pair, timer_.Compare(check, copy));
  const double rate = Gigabytes(region_bytes_, pair.first);
  Row("tag check", rate, rate / Gigabytes(bytes, pair.second), "copy");
  return {};
}

// The pattern, again and again, over the whole region.
Result<void> Bench::Fill(const TestMatrix& pattern) {
  const auto pages = static_cast<uint32_t>(pattern.layout.page_count);
  std::memcpy(staging_.mapped(), pattern.pages.data(), pattern.pages.size());
  return Run([&](gpu::Commands& commands) -> Result<void> {
    for (uint32_t slot = 0; slot + pages <= slots_.slot_count(); slot += pages) {
      for (const auto& piece : slots_.Pieces(slot, pages)) {
        commands.Copy(staging_, uint64_t{piece.first_slot - slot} * kPageBytes, *piece.buffer,
                      piece.offset, uint64_t{piece.slot_count} * kPageBytes);
      }
    }
    return {};
  });
}

Result<void> Bench::CheckNumbers(const TestMatrix& pattern, uint32_t rows,
                                 std::span<const float> x) {
  for (uint32_t row = 0; row < rows; ++row) {
    const float* weights = pattern.weights.data() + row % pattern.layout.rows * kColumns;
    double sum = 0;
    double size = 0;
    for (uint32_t i = 0; i < kColumns; ++i) {
      const double term = static_cast<double>(weights[i]) * x[i];
      sum += term;
      size += std::abs(term);
    }
    const auto y = LoadLe<float>(small_.mapped() + kColumns * 4 + uint64_t{row} * 4);
    if (std::abs(y - sum) <= 1e-5 * size) continue;
    return Fail(Error(ErrorCode::kDevice, "the device computes wrong numbers")
                    .Expected(fmt::format("{}", sum))
                    .Found(fmt::format("{}", y)));
  }
  return {};
}

Result<void> Bench::MatrixVector(TensorType type) {
  const TensorTypeInfo& info = GetTensorType(type);
  const TestMatrix pattern =
      RandomMatrix(type, uint64_t{kPatternStrips} * info.tile_rows, kColumns, 1);
  const std::vector<float> x = RandomActivations(1, kColumns, 2);
  std::memcpy(small_.mapped(), x.data(), x.size() * sizeof(float));
  GS_TRY(Fill(pattern));
  const uint64_t pattern_pages = pattern.layout.page_count;
  const uint64_t patterns = std::max<uint64_t>(
      1, std::min(kMatrixBytes / kPageBytes, slots_.slot_count()) / pattern_pages);
  DeviceMatrix matrix = DescribeMatrix(pattern.layout, 0);
  matrix.rows = static_cast<uint32_t>(pattern.layout.rows * patterns);
  const auto strips = static_cast<uint32_t>(kPatternStrips * patterns);
  const uint64_t matrices = slots_.slot_count() / (pattern_pages * patterns);
  MatMulArguments arguments;
  arguments.page_table = table_.address();
  arguments.x = small_.address();
  arguments.y = small_.address() + kColumns * 4;
  arguments.token_count = 1;
  arguments.x_stride = kColumns;
  arguments.y_stride = matrix.rows;
  const auto record = [&](gpu::Commands& commands, uint64_t count) -> Result<void> {
    for (uint64_t i = 0; i < count; ++i) {
      matrix.first_page = static_cast<uint32_t>(i * pattern_pages * patterns);
      if (i > 0) commands.Barrier();
      GS_TRY(kernels_.MatMul(commands, matrix, 0, strips, arguments));
    }
    return {};
  };
  GS_TRY(Run([&](gpu::Commands& commands) { return record(commands, 1); }));
  GS_TRY(CheckNumbers(pattern, matrix.rows, x));
  GS_ASSIGN(const auto pair,
            timer_.Compare([&](gpu::Commands& commands) { return record(commands, matrices); },
                           [&](gpu::Commands& commands) { return RecordRead(commands); }));
  const double rate = Gigabytes(matrices * patterns * pattern_pages * kPageBytes, pair.first);
  Row(fmt::format("matrix-vector {}", TensorTypeName(type)), rate,
      rate / Gigabytes(region_bytes_, pair.second), "read");
  return {};
}

// Of the transfer queue, as pages go.
Result<double> Bench::LinkRate(TransferMethod method) {
  const auto piece = Region().front();
  const uint64_t bytes =
      std::min<uint64_t>(staging_.bytes(), uint64_t{piece.slot_count} * kPageBytes);
  GS_ASSIGN(auto memory, PagePool::Allocate(bytes / kPageBytes));
  GS_TRY(memory.Touch(0, memory.page_count()));
  gpu::Buffer imported;
  if (method == TransferMethod::kImported) {
    GS_ASSIGN(imported, gpu::Buffer::ImportHostMemory(device_, {memory.slot(0), bytes}));
  }
  const gpu::Buffer& from = method == TransferMethod::kImported ? imported : staging_;
  GS_ASSIGN(const double seconds, LinkSeconds(device_, from, *piece.buffer, piece.offset, bytes));
  return static_cast<double>(bytes) / seconds;
}

// The link and what pages get of it, by each way that the device offers.
Result<void> Bench::Paging() {
  const gpu::DeviceInfo& info = device_.info();
  for (const TransferMethod method :
       {TransferMethod::kDirect, TransferMethod::kImported, TransferMethod::kUpload}) {
    if (method == TransferMethod::kDirect && !info.unified_memory) continue;
    if (method == TransferMethod::kImported && !info.imports_host_memory) continue;
    const std::string_view name = TransferMethodName(method);
    GS_ASSIGN(const double link, LinkRate(method));
    GS_ASSIGN(const double rate, PagingRate(device_, method, region_bytes_));
    if (method != TransferMethod::kDirect) Row(fmt::format("link, {}", name), link * 1e-9);
    Row(fmt::format("paging, {}", name), rate * 1e-9, rate / link, "link");
  }
  return {};
}

Result<void> Measure(int32_t index) {
  gpu::DeviceOptions options;
  options.index = index;
  GS_ASSIGN(const auto device, gpu::Device::Open(options));
  const gpu::DeviceInfo& info = device->info();
  fmt::print("{} ({}, {}), vulkan:{}, subgroups of {}\n\n", info.name, info.driver,
             gpu::DeviceTypeName(info.type), info.index, info.subgroup_size);
  fmt::print("| work | rate | ratio |\n|---|--:|--:|\n");
  GS_ASSIGN(auto bench, Bench::Create(*device));
  GS_TRY(bench.Rates());
  GS_TRY(bench.TagCheck());
  for (const TensorType type : kMatMulTypes) {
    if (HasDeviceKernels(type)) GS_TRY(bench.MatrixVector(type));
  }
  GS_TRY(bench.Paging());
  GS_ASSIGN(const SwapTimes resident, SwapLatency(*device, true));
  Row("swap of 8 runs, resident", resident);
  GS_ASSIGN(const SwapTimes loaded, SwapLatency(*device, false));
  Row("swap of 8 runs, loaded", loaded);
  const gpu::ValidationMessages said = gpu::GetValidationMessages();
  if (said.count > 0) return Fail(ErrorCode::kDevice, "the validation layers said: " + said.first);
  return {};
}

}  // namespace
}  // namespace gguf_shard

int main(int argc, char** argv) {
  const auto measured = gguf_shard::Measure(argc > 1 ? std::atoi(argv[1]) : -1);
  if (measured) return 0;
  fmt::print(stderr, "vulkan_bench: {}\n", measured.error().ToString());
  return 1;
}
