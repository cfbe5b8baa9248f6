#include "core/tensor_type.h"

#include <array>

#include "core/check.h"

namespace gguf_shard {
namespace {

using enum TensorType;

// clang-format off
constexpr std::array kTypes = {
    //             type      name     weights bytes  tile rows, columns  short offset, bytes
    TensorTypeInfo{kF32,     "F32",        1,   4,   63,  16,    0, 0},
    TensorTypeInfo{kF16,     "F16",        1,   2,   63,  32,    0, 2},
    TensorTypeInfo{kQ4_0,    "Q4_0",      32,  18,   28, 256,    0, 2},
    TensorTypeInfo{kQ4_1,    "Q4_1",      32,  20,   25, 256,    0, 0},
    TensorTypeInfo{kQ5_0,    "Q5_0",      32,  22,   23, 256,    0, 2},
    TensorTypeInfo{kQ5_1,    "Q5_1",      32,  24,   21, 256,    0, 0},
    TensorTypeInfo{kQ8_0,    "Q8_0",      32,  34,   30, 128,    0, 2},
    TensorTypeInfo{kQ8_1,    "Q8_1",      32,  36,    0,   0,    0, 0},
    TensorTypeInfo{kQ2_K,    "Q2_K",     256,  84,   48, 256,    0, 0},
    TensorTypeInfo{kQ3_K,    "Q3_K",     256, 110,   37, 256,  108, 2},
    TensorTypeInfo{kQ4_K,    "Q4_K",     256, 144,   28, 256,    0, 0},
    TensorTypeInfo{kQ5_K,    "Q5_K",     256, 176,   23, 256,    0, 0},
    TensorTypeInfo{kQ6_K,    "Q6_K",     256, 210,   19, 256,  208, 2},
    TensorTypeInfo{kQ8_K,    "Q8_K",     256, 292,    0,   0,    0, 0},
    TensorTypeInfo{kIQ2_XXS, "IQ2_XXS",  256,  66,    0,   0,    0, 0},
    TensorTypeInfo{kIQ2_XS,  "IQ2_XS",   256,  74,    0,   0,    0, 0},
    TensorTypeInfo{kIQ3_XXS, "IQ3_XXS",  256,  98,    0,   0,    0, 0},
    TensorTypeInfo{kIQ1_S,   "IQ1_S",    256,  50,    0,   0,    0, 0},
    TensorTypeInfo{kIQ4_NL,  "IQ4_NL",    32,  18,   28, 256,    0, 2},
    TensorTypeInfo{kIQ3_S,   "IQ3_S",    256, 110,    0,   0,    0, 0},
    TensorTypeInfo{kIQ2_S,   "IQ2_S",    256,  82,    0,   0,    0, 0},
    TensorTypeInfo{kIQ4_XS,  "IQ4_XS",   256, 136,   30, 256,    0, 0},
    TensorTypeInfo{kI8,      "I8",         1,   1,    0,   0,    0, 0},
    TensorTypeInfo{kI16,     "I16",        1,   2,    0,   0,    0, 0},
    TensorTypeInfo{kI32,     "I32",        1,   4,    0,   0,    0, 0},
    TensorTypeInfo{kI64,     "I64",        1,   8,    0,   0,    0, 0},
    TensorTypeInfo{kF64,     "F64",        1,   8,    0,   0,    0, 0},
    TensorTypeInfo{kIQ1_M,   "IQ1_M",    256,  56,    0,   0,    0, 0},
    TensorTypeInfo{kBF16,    "BF16",       1,   2,   63,  32,    0, 2},
    TensorTypeInfo{kTQ1_0,   "TQ1_0",    256,  54,    0,   0,    0, 0},
    TensorTypeInfo{kTQ2_0,   "TQ2_0",    256,  66,    0,   0,    0, 0},
    TensorTypeInfo{kMXFP4,   "MXFP4",     32,  17,   30, 256,    0, 1},
    TensorTypeInfo{kNVFP4,   "NVFP4",     64,  36,    0,   0,    0, 0},
    TensorTypeInfo{kQ1_0,    "Q1_0",     128,  18,    0,   0,    0, 0},
    TensorTypeInfo{kQ2_0,    "Q2_0",      64,  18,    0,   0,    0, 0},
};
// clang-format on

}  // namespace

std::span<const TensorTypeInfo> AllTensorTypes() { return kTypes; }

const TensorTypeInfo* FindTensorType(uint32_t type_id) {
  for (const auto& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == type_id) return &info;
  }
  return nullptr;
}

const TensorTypeInfo& GetTensorType(TensorType type) {
  const TensorTypeInfo* info = FindTensorType(static_cast<uint32_t>(type));
  GS_CHECK(info != nullptr);
  return *info;
}

const TensorTypeInfo* FindTensorTypeByName(std::string_view name) {
  for (const auto& info : kTypes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

}  // namespace gguf_shard
