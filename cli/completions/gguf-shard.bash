# bash completion for gguf-shard; made by scripts/make_completions.py from the help texts; do not edit

# Files that end in one of the suffixes, and directories.
_gguf_shard_files() {
  local suffix
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$cur")
  for suffix in "$@"; do
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -X "!*$suffix" -- "$cur")
  done
}

_gguf_shard() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local command="" word words
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "${command:+$command }$word" in
    "shard"|"unshard"|"verify"|"inspect"|"tokenize") command="${command:+$command }$word" ;;
    esac
  done
  case "$command:$prev" in
    "shard:-o"|"shard:--output") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    "shard:--name") return ;;
    "shard:--layout") mapfile -t COMPREPLY < <(compgen -W "auto column_major row_major" -- "$cur"); return ;;
    "shard:--prefetch-distance") return ;;
    "shard:--core-id") return ;;
    "unshard:-o"|"unshard:--output") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    "tokenize:-p"|"tokenize:--prompt") return ;;
    "tokenize:--file") _gguf_shard_files ""; return ;;
  esac
  case "$command" in
    "") words="shard unshard verify inspect tokenize -h --help --version" ;;
    "shard") words="-h --help -o --output --name --layout --prefetch-distance --core-id -f --force --json -q --quiet" ;;
    "unshard") words="-h --help -o --output -f --force --json -q --quiet" ;;
    "verify") words="-h --help --fast --json -q --quiet" ;;
    "inspect") words="-h --help --json" ;;
    "tokenize") words="-h --help --no-bos --no-special -p --prompt --file" ;;
  esac
  if [[ $cur == -* || -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  else
    _gguf_shard_files .gguf .sgmap .sgdelta
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "${words%%-*}" -- "$cur")
  fi
}

complete -F _gguf_shard gguf-shard
