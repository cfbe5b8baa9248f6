// Memory stays bounded by the buffers, whatever the model's size.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forge/shard.h"
#include "forge/verify.h"
#include "tests/forge/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // GCC says so
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// Peak resident memory of a child process that runs `job`, in bytes; the job's result is asserted.
template <typename Job>
uint64_t PeakMemoryOf(Job job) {
  const pid_t child = fork();
  if (child == 0) _exit(job() ? 0 : 1);
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

TEST(Memory, ShardingStaysWithinItsBuffers) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take memory of their own";
  TemporaryDirectory temporary;
  // 128 MiB, sparse: a matrix in tiles and a table in rows.
  GgufWriter writer;
  const uint64_t shape[] = {4096, 4096};
  writer.AddTensor("token_embd.weight", TensorType::kF32, shape, 0);
  writer.AddTensor("output.weight", TensorType::kF32, shape, uint64_t{64} << 20);
  const auto header = writer.Serialize();
  WriteBytes(temporary / "model.gguf", header);
  std::filesystem::resize_file(temporary / "model.gguf", header.size() + (uint64_t{128} << 20));

  ShardOptions options;
  options.output_directory = temporary / "out";
  options.buffer_bytes = uint64_t{24} << 20;
  const uint64_t idle_bytes = PeakMemoryOf([] { return true; });
  const uint64_t peak_bytes = PeakMemoryOf([&] {
    NoProgress progress;
    return ShardModel(temporary / "model.gguf", options, progress).has_value();
  });
  EXPECT_LT(peak_bytes - idle_bytes, options.buffer_bytes + (uint64_t{16} << 20));

  const uint64_t verify_bytes = PeakMemoryOf([&] {
    NoProgress progress;
    const auto report = VerifyCore(temporary / "out", VerifyDepth::kFull, progress);
    return report.has_value() && report->intact();
  });
  EXPECT_LT(verify_bytes - idle_bytes, DefaultPipelineBudgetBytes() + (uint64_t{16} << 20));
}

}  // namespace
}  // namespace gguf_shard
