// Patches on cores, killed at random moments.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/delta/core_patch_fixture.h"

namespace gguf_shard {
namespace {

// Forks, lets the child run `work`, and kills it after a random time.
template <typename Work>
void KillAfter(std::chrono::microseconds delay, const Work& work) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    static_cast<void>(work());
    _exit(0);
  }
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
}

TEST_F(CorePatch, KilledAtAnyMomentEndsInBaseOrTarget) {
  SyntheticModel model = MakeModel(90);
  WriteModel(model, dir_ / "base.gguf");
  for (auto& tensor : model.tensors) tensor.bytes[3] ^= std::byte{1};
  model.tensors.push_back(MakeTensor("added", TensorType::kQ4_K, {256, 333}, 5));
  WriteModel(model, dir_ / "target.gguf");
  Shard(dir_ / "base.gguf", dir_ / "base");
  Create(dir_ / "base.gguf", dir_ / "target.gguf", dir_ / "p.sgdelta");
  ASSERT_TRUE(ApplyNew(dir_ / "base", dir_ / "p.sgdelta", dir_ / "out"));
  const auto work = dir_ / "base";
  const std::string base = ReadAll(work / "core.gguf");
  const std::string target = ReadAll(dir_ / "out" / "core.gguf");
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(ApplyHere(work, dir_ / "p.sgdelta"));
  const auto apply_time = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  ASSERT_EQ(ReadAll(work / "core.gguf"), target);

  std::mt19937_64 random(1);
  int patched = 1;
  bool is_target = true;
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    const std::chrono::microseconds delay(
        static_cast<int64_t>(random() % static_cast<uint64_t>(3 * apply_time.count() + 2000)));
    KillAfter(delay, [&]() -> Result<void> {
      if (is_target) return UndoInPlace(work, progress_);
      GS_TRY(ApplyHere(work, dir_ / "p.sgdelta"));
      return {};
    });
    const auto recovered = RecoverCore(work);
    ASSERT_TRUE(recovered) << recovered.error().ToString();
    const std::string now = ReadAll(work / "core.gguf");
    is_target = now == target;
    ASSERT_TRUE(is_target || now == base);
    const auto opened = CoreFile::Open(work);
    ASSERT_TRUE(opened) << opened.error().ToString();
    patched += is_target ? 1 : 0;
  }
  EXPECT_GT(patched, 1);
}

}  // namespace
}  // namespace gguf_shard
