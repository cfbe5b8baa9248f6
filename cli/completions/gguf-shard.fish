# made by scripts/make_completions.py from the help texts; do not edit
complete -c gguf-shard -f
complete -c gguf-shard -n __fish_use_subcommand -a shard -d 'Turn a GGUF into verified 4 KB pages and a map'
complete -c gguf-shard -n __fish_use_subcommand -a unshard -d 'Give back the source files, bit for bit, proven by SHA-256'
complete -c gguf-shard -n __fish_use_subcommand -a verify -d 'Check every page of a core, its index and map'
complete -c gguf-shard -n __fish_use_subcommand -a inspect -d 'Show a GGUF, a core or a map'
complete -c gguf-shard -n __fish_use_subcommand -a tokenize -d 'Print the token ids of texts, a line for each'
complete -c gguf-shard -n __fish_use_subcommand -s h -l help -d 'Print this help message and exit'
complete -c gguf-shard -n __fish_use_subcommand -l version -d 'Display program version information and exit'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -s h -l help -d 'Print this help message and exit'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -s o -l output -x -a '(__fish_complete_directories)' -d 'Where to write (default: MODEL.shard beside the model)'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -l name -x -d 'File names: NAME.gguf and NAME.sgmap'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -l layout -x -a 'auto column_major row_major' -d 'auto: tiles for what is multiplied, rows for the rest; or force column_major or row_major'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -l prefetch-distance -x -d 'Shards to read ahead when the model runs (the map\'s default)'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -l core-id -x -d '32 hexadecimal digits instead of a random id: same input, same output'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -s f -l force -d 'Replace existing outputs'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -l json -d 'Print the result as JSON'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -s q -l quiet -d 'Print results and errors only, no progress'
complete -c gguf-shard -n '__fish_seen_subcommand_from shard' -F
complete -c gguf-shard -n '__fish_seen_subcommand_from unshard' -s h -l help -d 'Print this help message and exit'
complete -c gguf-shard -n '__fish_seen_subcommand_from unshard' -s o -l output -x -a '(__fish_complete_directories)' -d 'Where to write (default: beside the map)'
complete -c gguf-shard -n '__fish_seen_subcommand_from unshard' -s f -l force -d 'Replace existing outputs'
complete -c gguf-shard -n '__fish_seen_subcommand_from unshard' -l json -d 'Print the result as JSON'
complete -c gguf-shard -n '__fish_seen_subcommand_from unshard' -s q -l quiet -d 'Print results and errors only, no progress'
complete -c gguf-shard -n '__fish_seen_subcommand_from unshard' -F
complete -c gguf-shard -n '__fish_seen_subcommand_from verify' -s h -l help -d 'Print this help message and exit'
complete -c gguf-shard -n '__fish_seen_subcommand_from verify' -l fast -d 'Page tags, index and map only; no tensor and file digests'
complete -c gguf-shard -n '__fish_seen_subcommand_from verify' -l json -d 'Print the report as JSON'
complete -c gguf-shard -n '__fish_seen_subcommand_from verify' -s q -l quiet -d 'Print results and errors only, no progress'
complete -c gguf-shard -n '__fish_seen_subcommand_from verify' -F
complete -c gguf-shard -n '__fish_seen_subcommand_from inspect' -s h -l help -d 'Print this help message and exit'
complete -c gguf-shard -n '__fish_seen_subcommand_from inspect' -l json -d 'Print everything as JSON'
complete -c gguf-shard -n '__fish_seen_subcommand_from inspect' -F
complete -c gguf-shard -n '__fish_seen_subcommand_from tokenize' -s h -l help -d 'Print this help message and exit'
complete -c gguf-shard -n '__fish_seen_subcommand_from tokenize' -l no-bos -d 'Do not add BOS or EOS'
complete -c gguf-shard -n '__fish_seen_subcommand_from tokenize' -l no-special -d 'Take control tokens written in the text as ordinary text'
complete -c gguf-shard -n '__fish_seen_subcommand_from tokenize' -s p -l prompt -x -d 'A text; may be given more than once'
complete -c gguf-shard -n '__fish_seen_subcommand_from tokenize' -l file -r -F -d 'A file whose content is one text'
complete -c gguf-shard -n '__fish_seen_subcommand_from tokenize' -F
