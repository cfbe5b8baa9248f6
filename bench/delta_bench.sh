#!/usr/bin/env bash
# Sizes and times of patches against general tools, on the fine-tunes of the shared test data.
#
#   bench/delta_bench.sh PROGRAM [TESTDATA]      PROGRAM: a built gguf-shard
#   PARTS=rates bench/delta_bench.sh PROGRAM     only sizes, or only rates
#
# For every pair: bytes of xdelta3 -9, bsdiff, zstd --ultra -22 --long --patch-from, and of delta at
# fast, default and max; then the rates of delta on larger models of the same tensors. Needs xdelta3, bsdiff, zstd.
set -euo pipefail
program=${1:?usage: bench/delta_bench.sh PROGRAM [TESTDATA]}
data=${2:-${GGUF_SHARD_TESTDATA:-$(dirname "$0")/../../shared/testdata}}
[ -d "$data/pairs" ] || { echo "no pairs in $data" >&2; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size_of() { stat -c %s "$1"; }
create() { "$program" delta create --quiet --force --level "$1" --base "$base" --target "$target" -o "$work/$1"; }

measure_sizes() {
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
}

# Rates: one thread, every tensor thirty times, the better of three: by wall time (hashing and
# writing run beside the one thread) and by processor time.
here=$(dirname "$0")
rate() { # rate BYTES COMMAND...: MB/s by wall time and by processor time
  local bytes=$1
  shift
  for _ in 1 2 3; do
    /usr/bin/time -o "$work/time" -f '%e %U %S' "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    cat "$work/time"
  done | awk -v b="$bytes" '{ c = $2 + $3; if (NR == 1 || $1 < w) w = $1; if (NR == 1 || c < p) p = c }
    END { printf "%8.0f %8.0f", b / w / 1e6, b / p / 1e6 }'
}
measure_rates() {
  printf '%-14s %-8s %17s %17s\n' 'MB/s' '' 'create wall, cpu' 'apply wall, cpu'
  for name in full-BF16 full-Q8_0 full-Q4_K_M rl-BF16; do
    python3 "$here/repeat_gguf.py" "$data/pairs/$name.gguf" "$work/target.gguf" 30
    python3 "$here/repeat_gguf.py" "$data/models/stories3M-rot256-${name#*-}.gguf" "$work/base.gguf" 30
    bytes=$(size_of "$work/target.gguf")
    for level in fast default; do
      created=$(rate "$bytes" "$program" delta create --threads 1 --quiet --force --level "$level" \
        --base "$work/base.gguf" --target "$work/target.gguf" -o "$work/p")
      applied=$(rate "$bytes" "$program" delta apply --threads 1 --quiet --force --base "$work/base.gguf" \
        --patch "$work/p" -o "$work/out.gguf")
      printf '%-14s %-8s %s %s\n' "$name" "$level" "$created" "$applied"
    done
  done
}

for part in ${PARTS:-sizes rates}; do "measure_$part"; done
