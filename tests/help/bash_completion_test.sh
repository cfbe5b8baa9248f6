#!/usr/bin/env bash
# What bash offers for a few half-typed lines. bash_completion_test.sh SOURCE_FOLDER
source "$1/cli/completions/gguf-shard.bash"
failures=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
touch tale.gguf core.sgmap notes.txt
mkdir models

# compopt works only inside a real completion.
compopt() { :; }

# expect 'LINE' 'WORDS': completing the last word of LINE offers exactly WORDS, sorted.
expect() {
  read -ra COMP_WORDS <<<"$1"
  [[ $1 == *' ' ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _gguf_shard
  local offered
  offered=$(printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | paste -sd ' ')
  if [[ $offered != "$2" ]]; then
    printf '"%s": offered "%s", expected "%s"\n' "$1" "$offered" "$2"
    failures=$((failures + 1))
  fi
}

expect 'gguf-shard uns' 'unshard'
expect 'gguf-shard --vers' '--version'
expect 'gguf-shard shard --lay' '--layout'
expect 'gguf-shard shard --layout col' 'column_major'
expect 'gguf-shard shard --output ' 'models'
expect 'gguf-shard shard ' 'core.sgmap models tale.gguf'
expect 'gguf-shard verify core' 'core.sgmap'
expect 'gguf-shard verify --fa' '--fast'
expect 'gguf-shard unshard --fa' ''
expect 'gguf-shard delta ap' 'apply'
expect 'gguf-shard delta ' '--help -h apply create inspect merge undo verify'
expect 'gguf-shard delta create --level f' 'fast'
expect 'gguf-shard delta verify ' 'core.sgmap models tale.gguf'
expect 'gguf-shard delta apply --in' '--in-place'
exit $((failures > 0))
