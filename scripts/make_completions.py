#!/usr/bin/env python3
"""Writes the shell completions from the program's own help texts.

    scripts/make_completions.py build/release/gguf-shard            writes cli/completions/
    scripts/make_completions.py --check build/release/gguf-shard    fails when they are stale
"""

import sys
from pathlib import Path

from help_tree import read_commands

FOLDER = Path(__file__).resolve().parent.parent / "cli" / "completions"
NOTE = "made by scripts/make_completions.py from the help texts; do not edit"

# Values of options whose help names them in words.
VALUES = {
    "--level": ["fast", "default", "max"],
    "--layout": ["auto", "column_major", "row_major"],
    "--kv-type": ["f32", "f16", "q8_0"],
}


def values_of(option):
    return option.choices or VALUES.get(option.long, [])


def kind_of(option):
    """What to offer for a value: "dir", "model" (GGUF, map or patch), "file", "" for free text."""
    name = option.metavar.split("=")[0].split(" ")[0]
    if name == "DIR":
        return "dir"
    if name == "MODEL" or name.endswith((".gguf", ".sgmap", ".sgdelta")):
        return "model"
    return "file" if name in ("FILE", "PATH") or option.long == "--output" else ""


def bash(root):
    words = "|".join(f'"{c.name}"' for c in root.walk() if c.words)
    value_cases, word_cases = [], []
    for command in root.walk():
        for option in command.options:
            if option.metavar:
                pattern = "|".join(f'"{command.name}:{flag}"' for flag in option.flags)
                value_cases.append(f"    {pattern}) {bash_values(option)} ;;")
        offered = [c.words[-1] for c in command.subcommands]
        offered += [flag for option in command.options for flag in option.flags]
        word_cases.append(f'    "{command.name}") words="{" ".join(offered)}" ;;')
    return f"""\
# bash completion for gguf-shard; {NOTE}

# Files that end in one of the suffixes, and directories.
_gguf_shard_files() {{
  local suffix
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$cur")
  for suffix in "$@"; do
    mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -X "!*$suffix" -- "$cur")
  done
}}

_gguf_shard() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}
  local command="" word words
  COMPREPLY=()
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "${{command:+$command }}$word" in
    {words}) command="${{command:+$command }}$word" ;;
    esac
  done
  case "$command:$prev" in
{chr(10).join(value_cases)}
  esac
  case "$command" in
{chr(10).join(word_cases)}
  esac
  # Flags, or subcommands where the words begin with one; files elsewhere.
  if [[ $cur == -* || $words != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  else
    _gguf_shard_files .gguf .sgmap .sgdelta
  fi
}}

complete -F _gguf_shard gguf-shard
"""


def bash_values(option):
    values, kind = values_of(option), kind_of(option)
    if values:
        return f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(values)}" -- "$cur"); return'
    if kind == "dir":
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return'
    if kind == "model":
        return "_gguf_shard_files .gguf .sgmap .sgdelta; return"
    return '_gguf_shard_files ""; return' if kind == "file" else "return"


def zsh(root):
    functions = [zsh_function(command) for command in root.walk()]
    return f"#compdef gguf-shard\n# {NOTE}\n\n" + "\n".join(functions) + '\n_gguf_shard "$@"\n'


def zsh_name(command):
    return "_".join(("_gguf_shard", *command.words)).replace("-", "_")


def zsh_function(command):
    lines = [zsh_option(option) for option in command.options]
    if command.subcommands:
        lines += ["'1: :->command'", "'*:: :->arguments'"]
    else:
        lines += ["'*: :_files'"] if command.positionals else []
    body = "  _arguments -s " + " \\\n    ".join(lines)
    if not command.subcommands:
        return f"{zsh_name(command)}() {{\n{body}\n}}\n"
    described = "\n".join(
        f"    '{c.words[-1]}:{zsh_text(c.description)}'" for c in command.subcommands)
    cases = "\n".join(f"      {c.words[-1]}) {zsh_name(c)} ;;" for c in command.subcommands)
    return f"""\
{zsh_name(command)}() {{
  local state line
  local -a commands=(
{described}
  )
{body.replace("_arguments -s", "_arguments -s -C")} && return
  case $state in
    command) _describe command commands ;;
    arguments) case $words[1] in
{cases}
    esac ;;
  esac
}}
"""


def zsh_option(option):
    flags = option.flags
    text = f"[{zsh_text(option.description)}]"
    value = ""
    if option.metavar:
        value = f":value:{zsh_action(option)}"
    if len(flags) == 1:
        return f"'{flags[0]}{text}{value}'"
    return f"'({' '.join(flags)})'{{{','.join(flags)}}}'{text}{value}'"


def zsh_action(option):
    if values_of(option):
        return f"({' '.join(values_of(option))})"
    files = {"dir": "_directories", "model": '_files -g "*.(gguf|sgmap|sgdelta)"', "file": "_files"}
    return files.get(kind_of(option), "")


def zsh_text(text):
    for character in "[]:":
        text = text.replace(character, f"\\{character}")
    return text.replace("'", "'\\''")


def fish(root):
    lines = [f"# {NOTE}", "complete -c gguf-shard -f"]
    for command in root.walk():
        condition = fish_condition(command, root)
        for sub in command.subcommands:
            lines.append(f"complete -c gguf-shard {condition} -a {sub.words[-1]} "
                         f"-d '{fish_text(sub.description)}'")
        for option in command.options:
            lines.append(f"complete -c gguf-shard {condition} {fish_option(option)}")
        if command.positionals:
            lines.append(f"complete -c gguf-shard {condition} -F")
    return "\n".join(lines) + "\n"


def fish_condition(command, root):
    """True when exactly this command's words were typed: a word may name two commands
    (inspect, delta inspect), and below a group none of its subcommands has been typed yet."""
    if not command.words:
        return "-n __fish_use_subcommand"
    parts = [f"__fish_seen_subcommand_from {word}" for word in command.words]
    deeper = [c.words[-1] for c in command.subcommands]
    deeper += [c.words[-2] for c in root.walk()
               if len(c.words) > len(command.words) and c.words[-1] == command.words[-1]]
    if deeper:
        parts.append(f"not __fish_seen_subcommand_from {' '.join(deeper)}")
    return f"-n '{'; and '.join(parts)}'"


def fish_option(option):
    names = " ".join(f"-l {f[2:]}" if f.startswith("--") else f"-s {f[1:]}" for f in option.flags)
    value = ""
    if values_of(option):
        value = f" -x -a '{' '.join(values_of(option))}'"
    elif kind_of(option) == "dir":
        value = " -x -a '(__fish_complete_directories)'"
    elif kind_of(option):
        value = " -r -F"
    elif option.metavar:
        value = " -x"
    return f"{names}{value} -d '{fish_text(option.description)}'"


def fish_text(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")


FILES = {"gguf-shard.bash": bash, "_gguf-shard": zsh, "gguf-shard.fish": fish}


def main():
    *flags, program = sys.argv[1:]
    root = read_commands(program)
    stale = []
    for name, write in FILES.items():
        path, text = FOLDER / name, write(root)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in flags:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in flags:
        sys.exit(f"not up to date: {', '.join(stale)}; run scripts/make_completions.py {program}")


if __name__ == "__main__":
    main()
