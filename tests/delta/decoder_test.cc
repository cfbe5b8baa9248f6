// docs/FORMAT-DELTA.md is enough to write another reader: tests/delta/decoder.py applies patches of
// every type and method.
#include <gtest/gtest.h>

#include <cstdlib>

#include "delta/create.h"
#include "delta/float_base.h"
#include "delta/quant_group.h"
#include "delta/report.h"
#include "tests/delta/synthetic_model.h"
#include "tests/support/temporary_directory.h"

namespace gguf_shard {
namespace {

bool PythonWorks() {
  return std::system("python3 -c 'import ctypes; ctypes.CDLL(\"libzstd.so.1\")' >/dev/null 2>&1") ==
         0;
}

class IndependentDecoder : public testing::Test {
 protected:
  void SetUp() override {
    if (!PythonWorks()) GTEST_SKIP() << "python3 or libzstd.so.1 absent: the decoder cannot run";
  }

  void ExpectSameResult(const SyntheticModel& base, const SyntheticModel& target,
                        DeltaLevel level) {
    WriteModel(base, dir_ / "base.gguf");
    WriteModel(target, dir_ / "target.gguf");
    auto base_model = OpenModel(dir_ / "base.gguf");
    auto target_model = OpenModel(dir_ / "target.gguf");
    ASSERT_TRUE(base_model && target_model);
    CreateOptions options;
    options.level = level;
    options.overwrite = Overwrite::kAllow;
    NoProgress progress;
    ASSERT_TRUE(
        CreatePatch(*base_model->view, *target_model->view, dir_ / "p.sgdelta", options, progress));
    const std::string command = "python3 -B '" + std::string(GS_SOURCE_DIR) +
                                "/tests/delta/decoder.py' '" + (dir_ / "base.gguf").string() +
                                "' '" + (dir_ / "p.sgdelta").string() + "' '" +
                                (dir_ / "out.gguf").string() + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
    EXPECT_EQ(ReadAll(dir_ / "out.gguf"), ReadAll(dir_ / "target.gguf"));
  }

  TemporaryDirectory dir_;
};

TEST_F(IndependentDecoder, AppliesChangesOfEveryType) {
  std::mt19937_64 random(1);
  SyntheticModel model;
  for (const TensorType type : NumericTypes()) {
    model.tensors.push_back(
        MakeTensor(std::string(TensorTypeName(type)), type, {256, 12}, random()));
  }
  model.tensors.push_back(MakeTensor("planes", TensorType::kIQ3_S, {256, 12}, random()));
  SyntheticModel target = model;
  for (auto& tensor : target.tensors) Disturb(tensor, 0.3, random);
  target.tensors.push_back(MakeTensor("added", TensorType::kQ8_0, {32, 9}, random()));
  target.trailing.assign(100, std::byte{5});
  target.chat_template = "changed";
  for (const auto level : {DeltaLevel::kFast, DeltaLevel::kDefault, DeltaLevel::kMax}) {
    ExpectSameResult(model, target, level);
  }
}

TEST_F(IndependentDecoder, AppliesChangesOfType) {
  SyntheticModel base;
  SyntheticModel target;
  for (const TensorType from : {TensorType::kF32, TensorType::kF16, TensorType::kBF16,
                                TensorType::kQ8_0, TensorType::kIQ4_NL, TensorType::kQ6_K}) {
    for (const TensorType to : {TensorType::kQ4_K, TensorType::kQ3_K, TensorType::kIQ4_XS}) {
      const std::string name =
          std::string(TensorTypeName(from)) + "." + std::string(TensorTypeName(to));
      base.tensors.push_back(MakeTensor(name, from, {256, 8}, 7));
      // Few different quants: what the quant codec codes in fewer bytes than the blocks have.
      SyntheticTensor tensor = MakeTensor(name, to, {256, 8}, 8);
      const size_t block_bytes = GetTensorType(to).block_bytes;
      for (size_t at = 0; at < tensor.bytes.size(); at += block_bytes) {
        QuantGroup group{};
        UnpackGroup(to, tensor.bytes.data() + at, 1, group);
        for (size_t i = 0; i < group.quant.size(); ++i) group.quant[i] = i % 7 == 0 ? 1 : 0;
        PackGroup(to, group, 1, tensor.bytes.data() + at);
      }
      target.tensors.push_back(std::move(tensor));
    }
  }
  ExpectSameResult(base, target, DeltaLevel::kDefault);
  const auto patch = PatchReader::Open(dir_ / "p.sgdelta");
  ASSERT_TRUE(patch);
  for (const auto& change : SummarizePatch(*patch).changes) EXPECT_EQ(change.methods, "quant");
}

// F32 to BF16, dequantized models, and all others between floats and what they are made from.
TEST_F(IndependentDecoder, AppliesFloatsOfAnotherType) {
  SyntheticModel base;
  SyntheticModel target;
  for (const TensorType from : NumericTypes()) {
    for (const TensorType to : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) {
      if (from == to) continue;
      const std::string name =
          std::string(TensorTypeName(from)) + "." + std::string(TensorTypeName(to));
      base.tensors.push_back(MakeTensor(name, from, {256, 4}, 7));
      SyntheticTensor tensor = MakeTensor(name, to, {256, 4}, 8);
      tensor.bytes = FloatsOf(to, from, base.tensors.back().bytes);
      for (size_t at = 0; at < tensor.bytes.size(); at += 100) tensor.bytes[at] ^= std::byte{1};
      target.tensors.push_back(std::move(tensor));
    }
  }
  ExpectSameResult(base, target, DeltaLevel::kDefault);
  const auto patch = PatchReader::Open(dir_ / "p.sgdelta");
  ASSERT_TRUE(patch);
  for (const auto& change : SummarizePatch(*patch).changes) {
    EXPECT_EQ(change.methods, "float");
    EXPECT_LT(change.payload_bytes, change.target_bytes / 4) << change.name;
  }
}

}  // namespace
}  // namespace gguf_shard
