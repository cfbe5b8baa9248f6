#!/usr/bin/env bash
# Builds the fuzz preset (clang) and runs the targets named, or all, one after the other:
#   tests/fuzz/run.sh [SECONDS] [--keep] [TARGET ...]     SECONDS for each, 60 when left out
# New inputs stay in build/fuzz/found; --keep minimises them with the committed corpora and puts the
# result in tests/fuzz/corpus. A finding is written to build/fuzz/findings, shown, and ends the
# script with an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=60
keep=no
targets=()
for argument in "$@"; do
  if [[ $argument == --keep ]]; then
    keep=yes
  elif [[ $argument =~ ^[0-9]+$ ]]; then
    seconds=$argument
  elif [[ -e tests/fuzz/${argument}_fuzz.cc ]]; then
    targets+=("$argument")
  else
    echo "usage: tests/fuzz/run.sh [SECONDS] [--keep] [TARGET ...]" >&2
    exit 2
  fi
done

build=${GS_FUZZ_BUILD:-build/fuzz}
cmake --preset fuzz -B "$build" >/dev/null
if [[ ${#targets[@]} == 0 ]]; then
  for source in tests/fuzz/*_fuzz.cc; do
    targets+=("$(basename "$source" _fuzz.cc)")
  done
fi
cmake --build "$build" --target "${targets[@]/%/_fuzz}"

# The file name ending of a target's corpus: libFuzzer gives none.
ending_of() {
  case $1 in
    map) echo sgmap ;;
    tokenizer) echo gguf ;;
    delta) echo directory ;;
    *) echo "$1" ;;
  esac
}

# Committed inputs that a target starts from.
seeds_of() {
  echo "tests/fuzz/corpus/$1"
  if [[ $1 == gguf ]]; then echo tests/corruption; fi
}

fuzz() {
  local target=$1 found=$build/found/$1 findings=$build/findings/$1 options=()
  mkdir -p "$found" "$findings"
  [[ ! -e tests/fuzz/$target.dict ]] || options+=("-dict=tests/fuzz/$target.dict")
  mapfile -t seeds < <(seeds_of "$target")
  local log=$build/$target.log
  if ! "$build/tests/fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -artifact_prefix="$findings/" \
    "${options[@]}" "$found" "${seeds[@]}" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "== $target: a finding in $findings" >&2
    exit 1
  fi
  grep -E '^Done|^stat::|cov: ' "$log" | tail -n 8
}

# A few small inputs that cover all the code that the others cover, in place of the committed ones.
keep() {
  local target=$1 corpus=tests/fuzz/corpus/$1 merged=$build/merged/$1 file
  rm -rf "$merged"
  mkdir -p "$merged"
  "$build/tests/fuzz/${target}_fuzz" -merge=1 -use_counters=0 -max_len=16384 "$merged" "$corpus" \
    "$build/found/$target" >"$build/$target.merge.log" 2>&1
  rm -f "$corpus"/*
  for file in "$merged"/*; do
    mv "$file" "$corpus/$(basename "$file" | cut -c1-16).$(ending_of "$target")"
  done
}

for target in "${targets[@]}"; do
  echo "== $target, $seconds seconds"
  fuzz "$target"
  [[ $keep == no ]] || keep "$target"
done
