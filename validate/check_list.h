// All checks, in the order in which they run. Thread-safety: pure functions.
#pragma once

#include <vector>

#include "validate/check.h"

namespace gguf_shard {

std::vector<Check> AllChecks();

// One per file of checks, of the same name.
void AddIntegrityChecks(std::vector<Check>& checks);
void AddPatchChecks(std::vector<Check>& checks);
void AddLogitsChecks(std::vector<Check>& checks);
void AddPageChaosChecks(std::vector<Check>& checks);
void AddRunChaosChecks(std::vector<Check>& checks);
void AddDeviceChaosChecks(std::vector<Check>& checks);
void AddFileChaosChecks(std::vector<Check>& checks);
void AddDiskChaosChecks(std::vector<Check>& checks);
void AddRepairChecks(std::vector<Check>& checks);
void AddMemoryChaosChecks(std::vector<Check>& checks);
void AddSoakChecks(std::vector<Check>& checks);
void AddThroughputChecks(std::vector<Check>& checks);

}  // namespace gguf_shard
