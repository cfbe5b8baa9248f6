#!/usr/bin/env bash
# The continuous-integration sample of injected faults under the thread sanitizer: the tests of the
# validate module, then validate's chaos on the in-tree model, with both ways of reading.
#
#   scripts/tsan-faults.sh [FAULTS]     default 700
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

faults=${1:-700}
build tsan gguf-shard validate_test
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}"
folder=$(mktemp -d "${TMPDIR:-/tmp}/gguf-shard-tsan.XXXXXX")
trap 'rm -rf "$folder"' EXIT
build/tsan/tests/validate_test --gtest_brief=1
build/tsan/gguf-shard shard -q tests/data/tale-Q4_K_M.gguf -o "$folder/core" >/dev/null
build/tsan/gguf-shard validate -q "$folder/core" --only chaos --device cpu --faults "$faults" \
  --scratch "$folder"
say "No data race in the tests of validate, nor in its chaos with $faults faults."
