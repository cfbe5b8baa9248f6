#include "validate/check_list.h"

namespace gguf_shard {

std::vector<Check> AllChecks() {
  std::vector<Check> checks;
  AddIntegrityChecks(checks);
  AddPatchChecks(checks);
  AddLogitsChecks(checks);
  AddPageChaosChecks(checks);
  AddRunChaosChecks(checks);
  AddDeviceChaosChecks(checks);
  AddFileChaosChecks(checks);
  AddDiskChaosChecks(checks);
  AddRepairChecks(checks);
  AddMemoryChaosChecks(checks);
  AddSoakChecks(checks);
  AddThroughputChecks(checks);
  return checks;
}

}  // namespace gguf_shard
