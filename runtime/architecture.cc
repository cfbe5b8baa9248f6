#include "runtime/architecture.h"

#include <fmt/format.h>

#include <string>

#include "runtime/architectures/all.h"

namespace gguf_shard {
namespace {

constexpr const Architecture* kArchitectures[] = {
    &kLlamaArchitecture,
    &kQwen2Architecture,
    &kQwen3Architecture,
    &kQwen3MoeArchitecture,
};

}  // namespace

Result<const Architecture*> FindArchitecture(std::string_view name) {
  std::string known;
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->name == name) return architecture;
    known += known.empty() ? "" : ", ";
    known += architecture->name;
  }
  return Fail(Error(ErrorCode::kUnsupported, "no runtime for this model architecture")
                  .Expected(known)
                  .Found(std::string(name)));
}

}  // namespace gguf_shard
