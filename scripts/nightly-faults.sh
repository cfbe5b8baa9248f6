#!/usr/bin/env bash
# Injects random faults of every kind into a small model's core, and takes as many looks at what is
# intact: none may stay undetected, none may be a false alarm.
#
#   scripts/nightly-faults.sh [FAULTS] [SECONDS] [MODEL.gguf ...]
#
# FAULTS in all, 1000000 when left out; stops after SECONDS (0, the default: never) and says how far
# it came and how long a million would take. Models: the in-tree one when none is named. Each round
# has a seed of its own; a round that fails prints the commands that repeat its checks.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

faults=${1:-1000000}
limit=${2:-0}
shift $(($# < 2 ? $# : 2))
models=("$@")
((${#models[@]})) || models=(tests/data/tale-Q4_K_M.gguf)
program=${GGUF_SHARD:-build/release/gguf-shard}
[[ -x $program ]] || build release gguf-shard
each=21000

folder=$(mktemp -d "${TMPDIR:-/tmp}/gguf-shard-faults.XXXXXX")
trap 'rm -rf "$folder"' EXIT
for i in "${!models[@]}"; do
  "$program" shard -q "${models[$i]}" -o "$folder/$i" >/dev/null
done

# The sum of a number over all checks of a report.
sum_of() { grep -o "\"$1\": [0-9]*" "$folder/report.json" | awk '{sum += $2} END {print sum + 0}'; }

injected=0 looks=0 round=0 begin=$(date +%s)
while ((injected < faults)); do
  seed=$((++round))
  core=$folder/$((round % ${#models[@]}))
  "$program" validate -q "$core" --only chaos --device cpu --faults "$each" --seed "$seed" \
    --report "$folder/report.json" || die "round $round (seed $seed) failed, see above"
  injected=$((injected + $(sum_of injected)))
  looks=$((looks + $(sum_of clean)))
  passed=$(($(date +%s) - begin))
  say "round $round: $injected faults, $looks looks at what is intact, $passed s"
  ((limit == 0 || passed < limit)) || break
done
passed=$(($(date +%s) - begin))
say "$injected faults in $passed s, none undetected, no false alarm in $looks looks;" \
  "a million take $((passed * 1000000 / injected)) s here"
