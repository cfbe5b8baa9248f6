#!/usr/bin/env bash
# Injects random faults of every kind into a small model's core, and takes as many looks at what is
# intact: none may stay undetected, none may be a false alarm.
#
#   scripts/nightly-faults.sh [FAULTS] [SECONDS] [MODEL.gguf ...]
#
# FAULTS in all, 1000000 when left out; stops after SECONDS (0, the default: never) and says how far
# it came and how long a million would take. Models: the in-tree one when none is named; several
# take turns. Each round has a seed of its own; one that fails prints the commands that repeat its
# checks, and the next begins all the same. At the end: what became of the faults of every class.
# With GGUF_SHARD_DEVICE=vulkan (as for --device) the device. checks take part: several times slower.
# Cores and copies lie in TMPDIR: one in memory (TMPDIR=/dev/shm) makes it several times as fast.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

faults=${1:-1000000}
limit=${2:-0}
shift $(($# < 2 ? $# : 2))
models=("$@")
((${#models[@]})) || models=(tests/data/tale-Q4_K_M.gguf)
program=${GGUF_SHARD:-build/release/gguf-shard}
[[ -x $program ]] || build release gguf-shard
device=${GGUF_SHARD_DEVICE:-cpu}
each=21000
hang_seconds=3600 # no round takes nearly as long

folder=$(mktemp -d "${TMPDIR:-/tmp}/gguf-shard-faults.XXXXXX")
trap 'rm -rf "$folder"' EXIT
for i in "${!models[@]}"; do
  "$program" shard -q "${models[$i]}" -o "$folder/$i" >/dev/null
done

# The numbers of every check of a report, a line each: name, injected, detected, harmless, clean,
# false alarms.
numbers_of() {
  awk -F'[:,]' '
    /^      "name"/ { gsub(/[ "]/, "", $2); name = $2 }
    /^      "(injected|detected|harmless|clean)"/ { line = line " " $2 + 0 }
    /^      "false_alarms"/ { print name line, $2 + 0; line = "" }' "$1"
}

# Adds up what a column of all rounds says; columns as above.
sum_of() { awk -v column="$1" '{ sum += $column } END { print sum + 0 }' "$folder/numbers"; }

table() {
  awk '{ order[$1] = order[$1] ? order[$1] : ++count; names[order[$1]] = $1
         for (i = 2; i <= 6; ++i) sums[$1, i] += $i }
    END {
      printf "%-22s %9s %9s %9s %9s %9s %9s\n", "class", "injected", "detected", "harmless",
        "undetected", "intact", "alarms"
      for (k = 1; k <= count; ++k) {
        n = names[k]
        printf "%-22s %9d %9d %9d %9d %9d %9d\n", n, sums[n, 2], sums[n, 3], sums[n, 4],
          sums[n, 2] - sums[n, 3] - sums[n, 4], sums[n, 5], sums[n, 6]
      }
    }' "$folder/numbers"
}

injected=0 round=0 failed=0 crashed=0 hung=0 begin=$(date +%s)
: >"$folder/numbers"
while ((injected < faults)); do
  seed=$((++round))
  core=$folder/$((round % ${#models[@]}))
  before=$injected
  rm -f "$folder/report.json"
  status=0
  timeout --foreground -k 10 "$hang_seconds" \
    "$program" validate -q "$core" --only chaos --device "$device" \
    --scratch "$folder" --faults "$each" --seed "$seed" --report "$folder/report.json" || status=$?
  if ((status == 124 || status == 137)); then
    hung=$((hung + 1))
  elif ((status > 128)) && ((status != 130)) || [[ ! -e $folder/report.json ]]; then
    crashed=$((crashed + 1))
  fi
  ((status == 0)) || { failed=$((failed + 1)) && say "round $round (seed $seed) failed: exit $status"; }
  [[ ! -e $folder/report.json ]] || numbers_of "$folder/report.json" >>"$folder/numbers"
  injected=$(sum_of 2)
  passed=$(($(date +%s) - begin))
  say "round $round: $injected faults, $(sum_of 5) looks at what is intact, $passed s"
  ((injected > before)) || die "Nothing was injected: see above."
  ((limit == 0 || passed < limit)) || break
done
passed=$(($(date +%s) - begin))
table
undetected=$(($(sum_of 2) - $(sum_of 3) - $(sum_of 4)))
say "$injected faults in $round rounds and $passed s: $undetected undetected, $crashed crashes," \
  "$hung hangs, $(sum_of 6) false alarms in $(sum_of 5) looks at what is intact, $failed rounds" \
  "failed; a million take $((passed * 1000000 / injected)) s here"
((failed == 0))
