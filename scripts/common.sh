# shellcheck shell=bash
# Helpers of demo, test and .ci/run: messages, packages, configuring and building a preset.
# Sourced with the repository's root as the current directory.

set -euo pipefail
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

say() { printf '%s\n' "$*"; }

# Prints each argument on a line of its own, then ends the script.
die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Runs a command; shows its output only on a terminal or when it fails.
quietly() {
  local log=$1
  shift
  if [[ -t 1 ]]; then
    "$@"
  else
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || {
      cat "$log" >&2
      return 1
    }
  fi
}

# configure PRESET: once; afterwards ninja itself runs cmake again when a CMake file changed.
# Several sources are compiled at once: for a whole build that takes about half the time.
configure() {
  local folder=build/$1
  if [[ ! -f $folder/build.ninja ]]; then
    local log=$folder-configure.log
    local options=()
    [[ $1 != release && $1 != asan ]] || options+=(-DGS_UNITY=ON)
    [[ $1 != asan ]] || options+=(-DGS_TEST_SHARDS=4)  # a process takes long to start there
    mkdir -p build
    cmake --preset "$1" "${options[@]}" >"$log" 2>&1 || {
      cat "$log" >&2
      die "CMake could not configure the build (log: $log)."
    }
  fi
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  configure "$preset"
  local targets=()
  (($#)) && targets=(--target "$@")
  quietly "build/$preset-build.log" cmake --build "build/$preset" "${targets[@]}" ||
    die "The build of preset $preset failed."
}

# run_tests PRESET: the summary when all is well, everything that ctest prints otherwise.
# run_tests PRESET CTEST_ARGUMENT...: what ctest prints, as it prints it.
run_tests() {
  local preset=$1 log=build/$1-ctest.log
  shift
  local ctest=(ctest --test-dir "build/$preset" --output-on-failure --no-tests=error
    -j "$(nproc)")
  if (($#)); then
    "${ctest[@]}" "$@"
    return
  fi
  if ! "${ctest[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  local skipped
  skipped=$(grep -c '(Skipped)$' "$log" || true)
  if ((skipped)); then
    say "$skipped tests were skipped; build/$preset/Testing/Temporary/LastTest.log says why."
  fi
  grep -E '^(Total Test time|[0-9]+% tests passed)' "$log"
}
