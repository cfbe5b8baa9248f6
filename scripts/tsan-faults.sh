#!/usr/bin/env bash
# The nightly form of the thread sanitizer: first the tests of every module that has threads, then
# the program itself on the in-tree model: verification, text in a small pool and in one that holds
# all of it (read ahead, warmed), patches by several threads there and back, a repair, `validate`.
# The first data race ends it with an error (exit code 66) and its report.
#
#   scripts/tsan-faults.sh [FAULTS]     of validate's chaos; default 700
#
# Builds build/tsan when it is not there: half an hour of one processor.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

faults=${1:-700}
[[ -f build/tsan/build.ninja ]] ||
  quietly build/tsan-configure.log cmake --preset tsan -DGS_UNITY=ON -DGS_BENCH=OFF
modules=(atlas runtime delta forge validate capi)
build tsan gguf-shard "${modules[@]/%/_test}"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}"
folder=$(mktemp -d "${TMPDIR:-/tmp}/gguf-shard-tsan.XXXXXX")
trap 'rm -rf "$folder"' EXIT

for module in "${modules[@]}"; do
  say "Tests of $module ..."
  quietly "$folder/$module.log" "build/tsan/tests/${module}_test" --gtest_brief=1
done

# The program, in silence when all is well.
gguf_shard() { quietly "$folder/program.log" build/tsan/gguf-shard "$@"; }

base=tests/data/tale-Q4_K_M.gguf target=tests/data/tale-bard-Q4_K_M.gguf
threads=4
say "The program ..."
gguf_shard shard -q "$base" -o "$folder/core"
gguf_shard verify -q "$folder/core" --full
for io in threads uring; do
  for pool in 600K 8M; do
    gguf_shard run -q "$folder/core" -p "Once upon a time" -n 16 --seed 1 --device cpu \
      --pool "$pool" --threads "$threads" --io "$io" --prefetch-distance 8
  done
done
for level in fast default; do
  patch=$folder/$level.sgdelta
  gguf_shard delta create -q --base "$base" --target "$target" -o "$patch" --level "$level" \
    --threads "$threads"
  gguf_shard delta apply -q --base "$base" --patch "$patch" -o "$folder/$level.gguf" \
    --threads "$threads"
  cmp "$folder/$level.gguf" "$target"
  gguf_shard delta apply -q --base "$folder/core" --patch "$patch" --in-place --threads "$threads"
  gguf_shard verify -q "$folder/core" --full
  gguf_shard delta undo -q "$folder/core"
  gguf_shard run -q "$folder/core" --patch "$patch" -p "Once upon a time" -n 8 --seed 1 \
    --device cpu --threads "$threads" --pool 600K
done
printf 'damage' | dd of="$folder/core/core.gguf" bs=1 seek=600000 conv=notrunc status=none
gguf_shard verify -q "$folder/core" --repair --source "$base"
gguf_shard validate -q "$folder/core" --quick --device cpu --faults "$faults" --scratch "$folder"
say "No data race in the tests of ${modules[*]}, nor in the program with $faults faults."
