#!/usr/bin/env bash
# Runs models that are larger than the memory they get, and lets the operating system judge.
#
#   bench/run_under_budget.sh BUILD_DIR WORK_DIR [SHAPE ...]
#
# For each SHAPE (default: tinyllama-1.1b llama-3.1-8b) makes a Q4_K_M model with random weights in WORK_DIR, shards it, and generates
# text under a memory budget of a fifth of the model's size. Prints a table: the peak resident memory that the kernel recorded for the
# process (wait4's ru_maxrss, through /usr/bin/time) beside the budget, speed, and what was read. Exits with 1 when a peak is not below
# its budget. Needs a build with -DGS_BENCH=ON and about 2.2 times the models' size on the disk of WORK_DIR.
#
#   TOKENS=16       tokens to generate
#   FRACTION=5      the budget is the model's size divided by this
#   LIMIT=1         also run inside a control group that kills the process above its budget, page cache included (needs systemd-run)
#   VOCAB_tinyllama_1_1b, VOCAB_llama_3_1_8b   GGUFs to take the tokenizers from
set -euo pipefail

if [[ $# -lt 2 ]]; then
  sed -n '2,17p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit 2
fi
build_dir=$1
work_dir=$2
shift 2
shapes=("$@")
[[ ${#shapes[@]} -gt 0 ]] || shapes=(tinyllama-1.1b llama-3.1-8b)
tokens=${TOKENS:-16}
fraction=${FRACTION:-5}
program=$build_dir/gguf-shard
maker=$build_dir/bench/make_model
prompt="The quick brown fox jumps over the lazy dog, and then it looks back at the long way that it came"

for needed in "$program" "$maker" /usr/bin/time; do
  if [[ ! -x $needed ]]; then
    echo "run_under_budget: $needed is missing" >&2
    exit 2
  fi
done
mkdir -p "$work_dir"

# The control group counts the page cache too: the strictest judge there is.
limited() {
  local budget_bytes=$1
  shift
  if [[ ${LIMIT:-0} == 1 ]]; then
    systemd-run --scope --quiet -p MemoryMax="$budget_bytes" -p MemorySwapMax=0 "$@"
  else
    "$@"
  fi
}

make_core() {
  local shape=$1
  local gguf=$work_dir/$shape.gguf
  local vocab_variable=VOCAB_${shape//[-.]/_}
  local vocab=()
  [[ -n ${!vocab_variable:-} ]] && vocab=(--vocab "${!vocab_variable}")
  [[ -f $gguf ]] || "$maker" "$shape" "$gguf" "${vocab[@]}" >&2
  [[ -f $work_dir/$shape/core.sgmap ]] || "$program" shard "$gguf" -o "$work_dir/$shape" --quiet >&2
}

# json FILE KEY: one number of a flat JSON file.
json() {
  sed -n "s/^ *\"$2\": *\([-0-9.e+]*\),\{0,1\}$/\1/p" "$1"
}
mebibytes() {
  awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1048576 }'
}

failed=0
printf '%-16s %12s %12s %12s %6s %10s %10s %12s %14s\n' \
  shape "model MiB" "budget MiB" "peak MiB" below "first s" "tokens/s" "stalls s" "MiB per token"
for shape in "${shapes[@]}"; do
  make_core "$shape"
  model_bytes=$(stat -c %s "$work_dir/$shape.gguf")
  budget_bytes=$((model_bytes / fraction))
  stats=$work_dir/$shape.stats.json
  peak_file=$work_dir/$shape.peak
  limited "$budget_bytes" /usr/bin/time -f %M -o "$peak_file" \
    "$program" run "$work_dir/$shape" -p "$prompt" -n "$tokens" --seed 1 \
    --memory-budget "$budget_bytes" --stats "$stats" --quiet >"$work_dir/$shape.txt"
  peak_bytes=$(($(tail -n 1 "$peak_file") * 1024))
  below=yes
  if ((peak_bytes >= budget_bytes)); then
    below=NO
    failed=1
  fi
  printf '%-16s %12s %12s %12s %6s %10.2f %10.3f %12.2f %14s\n' "$shape" \
    "$(mebibytes "$model_bytes")" "$(mebibytes "$budget_bytes")" "$(mebibytes "$peak_bytes")" "$below" \
    "$(json "$stats" time_to_first_token_seconds)" "$(json "$stats" generation_tokens_per_second)" \
    "$(json "$stats" stall_seconds)" "$(mebibytes "$(json "$stats" bytes_read_per_generated_token)")"
done
exit "$failed"
