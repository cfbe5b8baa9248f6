#!/usr/bin/env bash
# Runs every fuzz target, one after the other, for a given time in all (needs clang):
#
#   scripts/fuzz-all.sh [SECONDS]     default 3600; a finding ends the script with an error
#
# tests/fuzz/run.sh has the details, and keeps what was found.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

seconds=${1:-3600}
[[ $seconds =~ ^[0-9]+$ ]] || die "usage: scripts/fuzz-all.sh [SECONDS]"
targets=(tests/fuzz/*_fuzz.cc)
each=$((seconds / ${#targets[@]}))
((each > 0)) || each=1
say "${#targets[@]} targets, $each seconds each"
exec tests/fuzz/run.sh "$each"
