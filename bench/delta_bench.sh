#!/usr/bin/env bash
# Sizes and times of patches against general tools, on the fine-tunes of the shared test data.
#
#   bench/delta_bench.sh PROGRAM [TESTDATA]      PROGRAM: a built gguf-shard
#
# For every pair: bytes of xdelta3 -9, bsdiff, zstd --ultra -22 --long --patch-from, and of delta at
# fast, default and max; then the rates of delta on the largest pair. Needs xdelta3, bsdiff, zstd.
set -euo pipefail
program=${1:?usage: bench/delta_bench.sh PROGRAM [TESTDATA]}
data=${2:-${GGUF_SHARD_TESTDATA:-$(dirname "$0")/../../shared/testdata}}
[ -d "$data/pairs" ] || { echo "no pairs in $data" >&2; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size_of() { stat -c %s "$1"; }
seconds() { # seconds COMMAND...: wall time
  local start end
  start=$(date +%s.%N)
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  end=$(date +%s.%N)
  awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }'
}
create() { "$program" delta create --quiet --force --level "$1" --base "$base" --target "$target" -o "$work/$1"; }

printf '%-14s %10s %10s %10s %10s %10s %10s %10s %6s\n' \
  pair target xdelta3 bsdiff zstd fast default max 'max %'
for target in "$data"/pairs/*.gguf; do
  name=$(basename "$target" .gguf)
  base=$data/models/stories3M-rot256-${name#*-}.gguf
  xdelta3 -9 -f -e -s "$base" "$target" "$work/xdelta3"
  bsdiff "$base" "$target" "$work/bsdiff"
  zstd -q -f --ultra -22 --long=27 --patch-from="$base" "$target" -o "$work/zstd" 2>/dev/null
  best=$(for tool in xdelta3 bsdiff zstd; do size_of "$work/$tool"; done | sort -n | head -1)
  for level in fast default max; do create "$level"; done
  "$program" delta apply --quiet --base "$base" --patch "$work/max" -o "$work/out.gguf"
  cmp "$work/out.gguf" "$target"
  rm "$work/out.gguf"
  max=$(size_of "$work/max")
  printf '%-14s %10s %10s %10s %10s %10s %10s %10s %6s\n' "$name" "$(size_of "$target")" \
    "$(size_of "$work/xdelta3")" "$(size_of "$work/bsdiff")" "$(size_of "$work/zstd")" \
    "$(size_of "$work/fast")" "$(size_of "$work/default")" "$max" \
    "$(awk -v a="$max" -v b="$best" 'BEGIN { printf "%.1f", 100 * a / b }')"
done
echo 'max %: the patch at max, of the best general tool'
echo

# Rates: one thread, best of three, on the full fine-tunes.
printf '%-14s %-8s %14s %14s\n' pair level 'create MB/s' 'apply MB/s'
for name in full-BF16 full-Q8_0 full-Q4_K_M rl-BF16; do
  target=$data/pairs/$name.gguf
  base=$data/models/stories3M-rot256-${name#*-}.gguf
  for level in fast default; do
    best_create=1e9
    best_apply=1e9
    for _ in 1 2 3; do
      t=$(seconds "$program" delta create --threads 1 --quiet --force --level "$level" --base "$base" \
        --target "$target" -o "$work/p")
      best_create=$(awk -v a="$t" -v b="$best_create" 'BEGIN { print a < b ? a : b }')
      t=$(seconds "$program" delta apply --threads 1 --quiet --force --base "$base" --patch "$work/p" \
        -o "$work/out.gguf")
      best_apply=$(awk -v a="$t" -v b="$best_apply" 'BEGIN { print a < b ? a : b }')
    done
    bytes=$(size_of "$target")
    awk -v n="$name" -v l="$level" -v s="$bytes" -v c="$best_create" -v a="$best_apply" \
      'BEGIN { printf "%-14s %-8s %14.0f %14.0f\n", n, l, s / c / 1e6, s / a / 1e6 }'
  done
done
