// Which instruction sets this processor and operating system offer, asked once.
#include <cstdlib>
#include <optional>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/matmul.h"

namespace gguf_shard {
namespace {

#if defined(__x86_64__)
// clang 14 has no name for it in __builtin_cpu_supports.
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

constexpr bool HasNeon() {
#if defined(__aarch64__)
  return true;  // every such processor does
#else
  return false;
#endif
}

bool HasAvx2() {
#if defined(__x86_64__)
  // The compiler's runtime also asks the operating system whether it saves the wide registers.
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
#else
  return false;
#endif
}

// Neither GCC 12 nor clang 14 has a name for it in __builtin_cpu_supports.
bool HasAvxVnni() {
#if defined(__x86_64__)
  constexpr unsigned kAvxVnni = 1u << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return HasAvx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
#else
  return false;
#endif
}

bool HasAvx512Vnni() {
#if defined(__x86_64__)
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

#if defined(GS_AMX_MODEL)
bool HasTileRegisters() { return true; }  // those of kernels/ref/amx_model.h
#elif defined(__x86_64__) && defined(__linux__)
bool ProcessorHasAmxInt8() {
  constexpr unsigned kTiles = 1u << 24;
  constexpr unsigned kInt8 = 1u << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
         (edx & (kTiles | kInt8)) == (kTiles | kInt8);
}

// Threads get room to save tile registers only in a process that asked for them.
bool RequestTileRegisters() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool HasTileRegisters() { return ProcessorHasAmxInt8() && RequestTileRegisters(); }
#else
bool HasTileRegisters() { return false; }
#endif

bool HasAmx() {
  static const bool has = HasAvx512Vnni() && HasTileRegisters();
  return has;
}

std::optional<KernelIsa> IsaFromEnvironment() {
  const char* text = std::getenv("GGUF_SHARD_ISA");
  if (text == nullptr) return std::nullopt;
  for (const auto isa : {KernelIsa::kPortable, KernelIsa::kNeon, KernelIsa::kAvx2,
                         KernelIsa::kAvxVnni, KernelIsa::kAvx512Vnni, KernelIsa::kAmx}) {
    if (KernelIsaName(isa) == text) return isa;
  }
  return std::nullopt;
}

KernelIsa Detect() {
  const auto wished = IsaFromEnvironment();
  if (wished && KernelIsaIsSupported(*wished)) return *wished;
  if (HasAmx()) return KernelIsa::kAmx;
  if (HasAvx512Vnni()) return KernelIsa::kAvx512Vnni;
  if (HasAvxVnni()) return KernelIsa::kAvxVnni;
  if (HasAvx2()) return KernelIsa::kAvx2;
  return HasNeon() ? KernelIsa::kNeon : KernelIsa::kPortable;
}

}  // namespace

std::string_view KernelIsaName(KernelIsa isa) {
  switch (isa) {
    case KernelIsa::kPortable:
      return "portable";
    case KernelIsa::kNeon:
      return "neon";
    case KernelIsa::kAvx2:
      return "avx2";
    case KernelIsa::kAvxVnni:
      return "avxvnni";
    case KernelIsa::kAvx512Vnni:
      return "avx512";
    case KernelIsa::kAmx:
      return "amx";
  }
  return "unknown";
}

bool KernelIsaIsSupported(KernelIsa isa) {
  switch (isa) {
    case KernelIsa::kPortable:
      return true;
    case KernelIsa::kNeon:
      return HasNeon();
    case KernelIsa::kAvx2:
      return HasAvx2();
    case KernelIsa::kAvxVnni:
      return HasAvxVnni();
    case KernelIsa::kAvx512Vnni:
      return HasAvx512Vnni();
    case KernelIsa::kAmx:
      return HasAmx();
  }
  return false;
}

KernelIsa DetectKernelIsa() { return Detect(); }

}  // namespace gguf_shard
