#!/usr/bin/env bash
# Patches of a model of several gigabytes: times, peak memory, and the limits that must hold.
#
#   bench/delta_big_bench.sh PROGRAM MODEL.gguf CORE [WORK]     CORE: the model's core (a folder)
#
# Two edits: of the metadata alone (name and chat template), and of that and three bytes in each of
# eight tensors. For both: create (GGUF to GGUF), apply to a GGUF and to a core, in place and undo.
# A copy of the model and its sync is measured beside it, turn by turn. Needs four times the model's
# size free in WORK, which is emptied at the end.
set -euo pipefail
program=${1:?usage: bench/delta_big_bench.sh PROGRAM MODEL.gguf CORE [WORK]}
model=${2:?usage: bench/delta_big_bench.sh PROGRAM MODEL.gguf CORE [WORK]}
core=${3:?usage: bench/delta_big_bench.sh PROGRAM MODEL.gguf CORE [WORK]}
work=$(mktemp -d "${4:-/var/tmp}/delta_big.XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(dirname "$0")
bytes=$(stat -c %s "$model")
worst_kb=0

# measured NAME COMMAND...: seconds, MB/s of the model, processor time, peak memory.
measured() {
  local name=$1 seconds user system kb
  shift
  sync
  /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  read -r seconds user system kb <"$work/time"
  ((kb <= worst_kb)) || worst_kb=$kb
  awk -v n="$name" -v s="$seconds" -v u="$user" -v y="$system" -v k="$kb" -v b="$bytes" \
    'BEGIN { printf "%-28s %8.1f s %8.0f MB/s %8.1f s user %8.1f s system %8.0f MB peak\n", n, s, b / s / 1e6, u, y, k / 1024 }'
}
copy_and_sync() { cp --reflink=never "$model" "$work/copy" && sync "$work/copy"; }
export -f copy_and_sync
export model work

for tensors in 0 8; do
  echo "== name and chat template, $tensors tensors"
  python3 "$here/edit_gguf.py" "$model" "$work/target.gguf" --tensors "$tensors"
  measured 'create, default' "$program" delta create --quiet --force --base "$model" \
    --target "$work/target.gguf" -o "$work/p"
  measured 'create, fast' "$program" delta create --quiet --force --level fast --base "$model" \
    --target "$work/target.gguf" -o "$work/fast"
  echo "patch: $(stat -c %s "$work/p") bytes, at fast $(stat -c %s "$work/fast")"
  for turn in 1 2; do
    rm -f "$work/copy" "$work/out.gguf"
    measured "cp and sync, turn $turn" bash -c copy_and_sync
    rm -f "$work/copy"
    measured "apply to a GGUF, turn $turn" "$program" delta apply --quiet --force --base "$model" \
      --patch "$work/p" -o "$work/out.gguf"
  done
  cmp "$work/out.gguf" "$work/target.gguf"
  rm "$work/out.gguf"
  measured 'apply to a core' "$program" delta apply --quiet --base "$core" --patch "$work/p" \
    -o "$work/core"
  rm -r "$work/core"
  cp -r "$core" "$work/here"
  measured 'apply in place' "$program" delta apply --quiet --base "$work/here" --patch "$work/p" \
    --in-place
  measured 'undo' "$program" delta undo --quiet "$work/here"
  cmp "$work/here/core.gguf" "$core/core.gguf"
  rm -r "$work/here"
  patch_bytes=$(stat -c %s "$work/p")
  ((tensors != 0 || patch_bytes < 65536)) || { echo "a metadata patch of $patch_bytes bytes" >&2; exit 1; }
done
echo "highest peak: $((worst_kb / 1024)) MB"
((worst_kb < 512 * 1024)) || { echo 'above 512 MB' >&2; exit 1; }
