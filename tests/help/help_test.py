"""Every subcommand and flag of the help texts stands in the completions and in the manual page.

    help_test.py PROGRAM SOURCE_FOLDER

Reads the help texts by itself, with none of the code that writes the completions.
"""

import re
import subprocess
import sys
from pathlib import Path

PROGRAM, SOURCE = sys.argv[1], Path(sys.argv[2])
MANUAL = SOURCE / "docs" / "man" / "gguf-shard.1"
COMPLETIONS = SOURCE / "cli" / "completions"


def help_text(*words):
    return subprocess.run([PROGRAM, *words, "--help"], check=True, text=True,
                          capture_output=True).stdout


def subcommands(text):
    _, _, listed = text.partition("\nSubcommands:\n")
    return re.findall(r"^  ([a-z][\w-]*)", listed, re.MULTILINE)


def flags(text):
    entries = re.findall(r"^(?:  ){1,2}(-\S+)", text, re.MULTILINE)
    return [flag for entry in entries for flag in entry.split(",")]


def all_words(*path):
    """(what it is, its words) for every subcommand and flag below `path`."""
    text = help_text(*path)
    for flag in flags(text):
        yield "flag", flag
    for word in subcommands(text):
        yield "subcommand", word
        yield from all_words(*path, word)


def knows(text, kind, word):
    if kind == "subcommand" or word.startswith("--"):
        return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None
    # A short flag may be spelled without its dash (fish: -s o).
    return re.search(rf"(?<![\w-])-?{re.escape(word[1:])}(?![\w-])", text) is not None


def spelled_out(path, pattern, replacement):
    """The text with flags as people type them (fish writes "-l name", roff "\\-" for a dash)."""
    return re.sub(pattern, replacement, path.read_text())


def main():
    words = sorted(set(all_words()))
    if len(words) < 10:
        sys.exit("the help texts could not be read")
    texts = {
        "bash completion": (COMPLETIONS / "gguf-shard.bash").read_text(),
        "zsh completion": (COMPLETIONS / "_gguf-shard").read_text(),
        "fish completion": spelled_out(COMPLETIONS / "gguf-shard.fish", r"-l (\S+)", r"--\1"),
        "manual page": spelled_out(MANUAL, r"\\f.|\\(?=-)", ""),
    }
    missing = [f"the {name} lacks the {kind} {word}" for name, text in texts.items()
               for kind, word in words if not knows(text, kind, word)]
    print("\n".join(missing))
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
