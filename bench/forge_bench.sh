#!/usr/bin/env bash
# Sharding against cp, verification against plain direct reading, on the same disk in the same run.
#
#   bench/forge_bench.sh BUILD_FOLDER [SHAPE] [REPEATS] [WORK_FOLDER]
#
# BUILD_FOLDER was configured with -DGS_BENCH=ON. SHAPE is what bench/make_model.cc knows (default
# llama-3.1-8b, 4.9 GB); WORK_FOLDER needs three times that. Each repeat runs every measurement once,
# one after the other, so that a slow minute of the disk hits all of them. Before each, the files
# that it reads are dropped from the page cache. cp is timed until its copy is on the disk, as
# gguf-shard's outputs are when it ends.
set -euo pipefail

build=$(realpath "${1:?usage: forge_bench.sh BUILD_FOLDER [SHAPE] [REPEATS] [WORK_FOLDER]}")
shape=${2:-llama-3.1-8b}
repeats=${3:-5}
work=$(mktemp -d "${4:-${TMPDIR:-/tmp}}/forge-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(dirname "$(realpath "$0")")
program=$build/gguf-shard
results=$work/results

# Writes back and drops a file's pages; needs no privilege.
drop_cache() { sync "$1" && dd if="$1" iflag=nocache count=0 status=none; }

measure() { python3 "$here/measure.py" "$results" "$@"; }

"$build/bench/make_model" "$shape" "$work/model.gguf"
for ((i = 0; i < repeats; ++i)); do
  drop_cache "$work/model.gguf"
  measure "cp+sync" sh -c 'cp "$1" "$2" && sync "$2"' - "$work/model.gguf" "$work/copy.gguf"
  rm "$work/copy.gguf"
  rm -rf "$work/out"
  drop_cache "$work/model.gguf"
  measure "shard" "$program" shard -q "$work/model.gguf" -o "$work/out"
  core=$work/out/core.gguf
  drop_cache "$core"
  measure "direct read" dd if="$core" of=/dev/null iflag=direct bs=4M status=none
  drop_cache "$core"
  measure "verify" "$program" verify -q "$work/out"
  drop_cache "$core"
  measure "verify --fast" "$program" verify -q --fast "$work/out"
  drop_cache "$core"
  measure "verify --full" "$program" verify -q --full "$work/out"
  drop_cache "$core"
  measure "unshard" "$program" unshard -q "$work/out" -o "$work/back"
  cmp "$work/model.gguf" "$work/back/model.gguf"
  rm -r "$work/back"
done

printf '%s, %s bytes; %s repeats; %s processors, load %s\n' "$shape" \
  "$(stat -c %s "$work/model.gguf")" "$repeats" "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)"
python3 "$here/forge_table.py" "$results" "$(stat -c %s "$work/model.gguf")" \
  "$(stat -c %s "$work/out/core.gguf")"
