#!/usr/bin/env bash
# How close streaming and resident runs come to what disk and memory allow, as tables in Markdown.
#
#   bench/stream_bench.sh BUILD_DIR WORK_DIR [--quick] [OPTION ...] [SHAPE ...]
#
# Makes Q4_K_M models with random weights of each SHAPE (default: tinyllama-1.1b llama-3.1-8b qwen3-moe) in WORK_DIR, or takes
# DIR/SHAPE.gguf and DIR/SHAPE/core.sgmap when they are there; then runs bench/stream_bench.py, which says what each column
# means. Needs a build with -DGS_BENCH=ON, about 2.2 times the models' size on the disk of WORK_DIR, and an idle machine.
# With root, each run is put in a memory control group of its own, limited to its budget, page cache included.
#
#   --quick           tinyllama-1.1b only, fewer tokens and repetitions: less than five minutes
#   --models DIR      a folder with models that are already made
#   --peer COMMAND    another engine to compare with: `COMMAND MODEL.gguf TOKENS PROMPT_TOKENS` prints
#                     {"tokens_per_second": ..., "prompt_tokens_per_second": ...}; bench/peer/ has one
#   --limited-peer COMMAND   the same for budgets that the model does not fit in (default: that of --peer)
#   --budgets LIST    of the decode table (default: 10%,25%,50%,75%): shares of the GGUF, or 512M, 2G
set -euo pipefail

usage() {
  sed -n '2,17p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit 2
}
[[ $# -ge 2 ]] || usage
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build_dir=$1
work_dir=$2
shift 2
models_dir=$work_dir
quick=()
options=()
shapes=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) quick=(--quick) ;;
    --models) models_dir=${2:?} && shift ;;
    --peer) options+=(--peer "${2:?}") && shift ;;
    --limited-peer) options+=(--limited-peer "${2:?}") && shift ;;
    --budgets) options+=(--budgets "${2:?}") && shift ;;
    -*) usage ;;
    *) shapes+=("$1") ;;
  esac
  shift
done
if [[ ${#shapes[@]} == 0 ]]; then
  shapes=(tinyllama-1.1b)
  [[ ${#quick[@]} -gt 0 ]] || shapes+=(llama-3.1-8b qwen3-moe)
fi
mkdir -p "$work_dir"

# Where the shape's core is; made when it is not there.
core_of() {
  local shape=$1 directory
  for directory in "$models_dir" "$work_dir"; do
    if [[ -f $directory/$shape/core.sgmap ]]; then
      echo "$directory/$shape"
      return
    fi
  done
  [[ -f $work_dir/$shape.gguf ]] || "$build_dir/bench/make_model" "$shape" "$work_dir/$shape.gguf" >&2
  "$build_dir/gguf-shard" shard "$work_dir/$shape.gguf" -o "$work_dir/$shape" --quiet >&2
  echo "$work_dir/$shape"
}

cores=()
for shape in "${shapes[@]}"; do
  cores+=("$(core_of "$shape")")
done
exec python3 "$here/stream_bench.py" "${quick[@]}" "${options[@]}" "$build_dir/gguf-shard" "$work_dir" "${cores[@]}"
