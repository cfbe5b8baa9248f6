#!/usr/bin/env bash
# What a Vulkan device does with pages and with a whole model, as one table that names the device.
#
#   bench/vulkan_bench.sh BUILD_DIR [CORE [N]]
#
# CORE is the folder of a sharded model (gguf-shard shard MODEL.gguf); without it only the parts are measured (bench/vulkan_bench.cc
# says which). N is Vulkan's number of the device, as `gguf-shard devices` lists them; without it, the best one. The same on lavapipe
# (mesa-vulkan-drivers) and on a graphics processor. The last rows are the model's speed with 10, 25, 50 and 100 % of its size as
# --vram-budget, which counts everything that is kept there, and with all that is free. Needs a build with -DGS_BENCH=ON, and python3.
#
#   TOKENS=64                 tokens to generate for each budget
#   MEMORY_BUDGET=            host memory for what the device has no room for, as --memory-budget (default: what is free)
#   GGUF_SHARD_BENCH_MIB=     size of the region that the parts are measured on (1024; 64 on a processor)
set -euo pipefail

if [[ $# -lt 1 || $# -gt 3 ]]; then
  sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit 2
fi
build_dir=$1
core=${2:-}
number=${3:-}
tokens=${TOKENS:-64}
program=$build_dir/gguf-shard

"$build_dir/bench/vulkan_bench" ${number:+"$number"}
[[ -n $core ]] || exit 0

stats=$(mktemp)
trap 'rm -f "$stats"' EXIT

# key EXPRESSION: of the last run's statistics, `s`.
key() {
  python3 -c "import json, sys; s = json.load(open(sys.argv[1])); print($1)" "$stats"
}

# run [OPTION...]: one text on the device.
run() {
  "$program" run "$core" --device "vulkan${number:+:$number}" -p "Once upon a time, in a land far away, there was" --temp 0 -n "$tokens" \
    ${MEMORY_BUDGET:+--memory-budget "$MEMORY_BUDGET"} --stats "$stats" --quiet "$@" >/dev/null
}

row() {
  echo "| model, $1 | $(key "'%.2f tokens/s' % s['generation_tokens_per_second']") |" \
    "$(key "', '.join(words % (s['device'][name] / 2**20 / count) for name, count, words in (
      ('peak_bytes', 1, '%.1f MiB taken at most'), ('bytes_to_device', $tokens, '%.1f MiB over the link for each token'),
      ('bytes_read', $tokens, '%.1f MiB read for each token')) if name in s.get('device', {}))") |"
}

core_bytes=$(stat -c %s "$core"/core.gguf)
for percent in 10 25 50 100; do
  if error=$(run --vram-budget $((core_bytes * percent / 100)) 2>&1); then
    row "a budget of $percent % of it"
  else
    echo "| model, a budget of $percent % of it | | ${error//$'\n'/ } |"
  fi
done
run
row "no budget"
