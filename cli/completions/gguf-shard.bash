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
    "shard"|"unshard"|"verify"|"validate"|"inspect"|"run"|"plan"|"simulate"|"devices"|"tokenize"|"logits"|"perplexity"|"delta"|"delta create"|"delta apply"|"delta undo"|"delta inspect"|"delta verify"|"delta merge") command="${command:+$command }$word" ;;
    esac
  done
  case "$command:$prev" in
    "shard:-o"|"shard:--output") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    "shard:--name") return ;;
    "shard:--layout") mapfile -t COMPREPLY < <(compgen -W "auto column_major row_major" -- "$cur"); return ;;
    "shard:--prefetch-distance") return ;;
    "shard:--core-id") return ;;
    "unshard:-o"|"unshard:--output") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    "verify:--source"|"verify:--from") return ;;
    "verify:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "validate:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "validate:--device") return ;;
    "validate:--report") _gguf_shard_files ""; return ;;
    "validate:--seed") return ;;
    "validate:--faults") return ;;
    "validate:--soak") return ;;
    "validate:--only") return ;;
    "validate:--scratch") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    "run:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "run:--memory-budget") return ;;
    "run:--pool") return ;;
    "run:--device") return ;;
    "run:--vram-budget") return ;;
    "run:--gpu-layers") return ;;
    "run:--threads") return ;;
    "run:--ctx") return ;;
    "run:--batch") return ;;
    "run:--kv-type") mapfile -t COMPREPLY < <(compgen -W "f32 f16 q8_0" -- "$cur"); return ;;
    "run:--prefetch-distance") return ;;
    "run:--cache-policy") mapfile -t COMPREPLY < <(compgen -W "lru frequency" -- "$cur"); return ;;
    "run:--io") mapfile -t COMPREPLY < <(compgen -W "auto uring threads" -- "$cur"); return ;;
    "run:-p"|"run:--prompt") return ;;
    "run:-n"|"run:--tokens") return ;;
    "run:--temp") return ;;
    "run:--top-k") return ;;
    "run:--top-p") return ;;
    "run:--min-p") return ;;
    "run:--repeat-penalty") return ;;
    "run:--repeat-window") return ;;
    "run:--seed") return ;;
    "run:--stats") _gguf_shard_files ""; return ;;
    "run:--trace") _gguf_shard_files ""; return ;;
    "plan:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "plan:--memory-budget") return ;;
    "plan:--pool") return ;;
    "plan:--device") return ;;
    "plan:--vram-budget") return ;;
    "plan:--gpu-layers") return ;;
    "plan:--threads") return ;;
    "plan:--ctx") return ;;
    "plan:--batch") return ;;
    "plan:--kv-type") mapfile -t COMPREPLY < <(compgen -W "f32 f16 q8_0" -- "$cur"); return ;;
    "plan:--prefetch-distance") return ;;
    "plan:--cache-policy") mapfile -t COMPREPLY < <(compgen -W "lru frequency" -- "$cur"); return ;;
    "plan:--io") mapfile -t COMPREPLY < <(compgen -W "auto uring threads" -- "$cur"); return ;;
    "simulate:--budget") return ;;
    "simulate:--policy") mapfile -t COMPREPLY < <(compgen -W "plain_lru lru frequency optimum" -- "$cur"); return ;;
    "simulate:--html") _gguf_shard_files ""; return ;;
    "simulate:--svg") _gguf_shard_files ""; return ;;
    "tokenize:-p"|"tokenize:--prompt") return ;;
    "tokenize:--file") _gguf_shard_files ""; return ;;
    "logits:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "logits:--memory-budget") return ;;
    "logits:--pool") return ;;
    "logits:--device") return ;;
    "logits:--vram-budget") return ;;
    "logits:--gpu-layers") return ;;
    "logits:--threads") return ;;
    "logits:--ctx") return ;;
    "logits:--batch") return ;;
    "logits:--kv-type") mapfile -t COMPREPLY < <(compgen -W "f32 f16 q8_0" -- "$cur"); return ;;
    "logits:--prefetch-distance") return ;;
    "logits:--cache-policy") mapfile -t COMPREPLY < <(compgen -W "lru frequency" -- "$cur"); return ;;
    "logits:--io") mapfile -t COMPREPLY < <(compgen -W "auto uring threads" -- "$cur"); return ;;
    "logits:-p"|"logits:--prompt") return ;;
    "logits:--tokens") return ;;
    "logits:--greedy") return ;;
    "logits:--top") return ;;
    "perplexity:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "perplexity:--memory-budget") return ;;
    "perplexity:--pool") return ;;
    "perplexity:--device") return ;;
    "perplexity:--vram-budget") return ;;
    "perplexity:--gpu-layers") return ;;
    "perplexity:--threads") return ;;
    "perplexity:--ctx") return ;;
    "perplexity:--batch") return ;;
    "perplexity:--kv-type") mapfile -t COMPREPLY < <(compgen -W "f32 f16 q8_0" -- "$cur"); return ;;
    "perplexity:--prefetch-distance") return ;;
    "perplexity:--cache-policy") mapfile -t COMPREPLY < <(compgen -W "lru frequency" -- "$cur"); return ;;
    "perplexity:--io") mapfile -t COMPREPLY < <(compgen -W "auto uring threads" -- "$cur"); return ;;
    "perplexity:--file") _gguf_shard_files ""; return ;;
    "perplexity:--windows") return ;;
    "delta create:--base") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta create:-o"|"delta create:--output") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta create:--level") mapfile -t COMPREPLY < <(compgen -W "fast default max" -- "$cur"); return ;;
    "delta create:--threads") return ;;
    "delta create:--target") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta apply:--base") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta apply:--patch") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta apply:-o"|"delta apply:--output") _gguf_shard_files ""; return ;;
    "delta apply:--threads") return ;;
    "delta verify:--base") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta verify:--threads") return ;;
    "delta merge:--base") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta merge:-o"|"delta merge:--output") _gguf_shard_files .gguf .sgmap .sgdelta; return ;;
    "delta merge:--level") mapfile -t COMPREPLY < <(compgen -W "fast default max" -- "$cur"); return ;;
    "delta merge:--threads") return ;;
  esac
  case "$command" in
    "") words="shard unshard verify validate inspect run plan simulate devices tokenize logits perplexity delta -h --help --version" ;;
    "shard") words="-h --help -o --output --name --layout --prefetch-distance --core-id -f --force --json -q --quiet" ;;
    "unshard") words="-h --help -o --output -f --force --json -q --quiet" ;;
    "verify") words="-h --help --fast --full --json --repair --source --from --patch -q --quiet" ;;
    "validate") words="-h --help --patch --device --quick --full --report --seed --faults --soak --only --scratch --json -q --quiet" ;;
    "inspect") words="-h --help --json" ;;
    "run") words="-h --help --patch --memory-budget --pool --device --vram-budget --gpu-layers --threads --ctx --batch --kv-type --prefetch-distance --cache-policy --io -p --prompt -n --tokens --temp --top-k --top-p --min-p --repeat-penalty --repeat-window --seed --echo --stats --compare --trace -q --quiet" ;;
    "plan") words="-h --help --patch --memory-budget --pool --device --vram-budget --gpu-layers --threads --ctx --batch --kv-type --prefetch-distance --cache-policy --io --json" ;;
    "simulate") words="-h --help --budget --policy --html --svg --json" ;;
    "devices") words="-h --help --json" ;;
    "tokenize") words="-h --help -p --prompt --file --no-bos --no-special" ;;
    "logits") words="-h --help --patch --memory-budget --pool --device --vram-budget --gpu-layers --threads --ctx --batch --kv-type --prefetch-distance --cache-policy --io -p --prompt --tokens --greedy --top --json" ;;
    "perplexity") words="-h --help --patch --memory-budget --pool --device --vram-budget --gpu-layers --threads --ctx --batch --kv-type --prefetch-distance --cache-policy --io --file --windows --json -q --quiet" ;;
    "delta") words="create apply undo inspect verify merge -h --help" ;;
    "delta create") words="-h --help --base -o --output --level --threads --trust-map --force --json -q --quiet --target" ;;
    "delta apply") words="-h --help --base --patch -o --output --in-place --threads --trust-map --force -q --quiet" ;;
    "delta undo") words="-h --help -q --quiet" ;;
    "delta inspect") words="-h --help --json" ;;
    "delta verify") words="-h --help --base --threads -q --quiet" ;;
    "delta merge") words="-h --help --base -o --output --level --threads --trust-map --force --json -q --quiet" ;;
  esac
  # Flags, or subcommands where the words begin with one; files elsewhere.
  if [[ $cur == -* || $words != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  else
    _gguf_shard_files .gguf .sgmap .sgdelta
  fi
}

complete -F _gguf_shard gguf-shard
