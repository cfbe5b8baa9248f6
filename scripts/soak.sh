#!/usr/bin/env bash
# Generates text for a given time under changing budgets with injected faults: the tokens must stay
# the same, and resident memory, descriptors and device memory may not grow.
#
#   scripts/soak.sh [SECONDS] [MODEL.gguf or CORE.sgmap] [DEVICE]
#
# 600 seconds, the in-tree model and no device when left out. DEVICE as for --device: engines on it
# are opened and closed too. The seed is the date's; a failure prints the command that repeats it.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

seconds=${1:-600}
model=${2:-tests/data/tale-Q4_K_M.gguf}
device=${3:-cpu}
program=${GGUF_SHARD:-build/release/gguf-shard}
[[ -x $program ]] || build release gguf-shard

if [[ $model == *.gguf ]]; then
  folder=$(mktemp -d "${TMPDIR:-/tmp}/gguf-shard-soak.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
  "$program" shard -q "$model" -o "$folder/core" >/dev/null
  model=$folder/core
fi
seed=${GGUF_SHARD_SEED:-$(date +%Y%m%d)}
"$program" validate "$model" --only run.soak --soak "$seconds" --seed "$seed" --device cpu
[[ $device == cpu ]] ||
  "$program" validate "$model" --only run.device_soak --full --seed "$seed" --device "$device"
