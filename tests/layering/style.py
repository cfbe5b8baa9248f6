"""Style that no formatter checks: lengths, opening comments, unfinished work, machine paths."""

import re
from pathlib import Path

from tree import MODULES, Problem

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70

# Put together from pieces, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|not " r"implemented|un" r"implemented)\b")
MACHINE_PATH = re.compile(r"(^|[\s\"'`(=:])/(home|root|Users|work|farm|mnt|media)/\w")

# A pure function, or what never changes, needs no more words.
THREADS = re.compile(r"[Tt]hread|[Pp]ure function|[Ii]mmutable")

# At column 0, what starts no function.
NO_FUNCTION = re.compile(r"(namespace|class|struct|enum|union|extern|using|typedef|#|//|/\*|\})")


def check_file_lengths(tree):
    for path in tree.code_paths() + python_paths(tree):
        count = len(tree.lines(path))
        if count > MAX_FILE_LINES:
            yield Problem(path, count, f"{count} lines; a file has at most {MAX_FILE_LINES}")


def check_function_lengths(tree):
    for path in tree.code_paths():
        for first, last in function_bodies(tree.lines(path)):
            if last - first + 1 > MAX_FUNCTION_LINES:
                length = last - first + 1
                yield Problem(path, first,
                              f"a function of {length} lines; at most {MAX_FUNCTION_LINES}")


def function_bodies(lines):
    """(first, last) line numbers of functions at namespace scope, in clang-format's shape:
    a signature from column 0 on, which may go on in indented lines, then a body that ends with a
    lone brace at column 0."""
    first, in_body = None, False
    for number, line in enumerate(lines, start=1):
        if in_body:
            if line.startswith("}"):
                if line == "}":
                    yield first, number
                first, in_body = None, False
            continue
        if first is None and line and not line[0].isspace() and not NO_FUNCTION.match(line):
            first = number
        if first is not None:
            in_body = line.endswith("{")
            if not line or line.endswith((";", "}")):
                first = None


def check_headers(tree):
    """A header opens with a comment that says what it is for, then #pragma once."""
    for path in tree.code_paths():
        if not path.endswith(".h"):
            continue
        lines = tree.lines(path)
        if not lines or not lines[0].startswith(("// ", "/* ")):
            yield Problem(path, 1,
                          "a header opens with a comment: purpose, invariants, thread-safety")
        if "#pragma once" not in lines and not any(line.startswith("#ifndef ") for line in lines):
            yield Problem(path, 1, "a header is guarded by #pragma once")


def check_thread_safety_is_stated(tree):
    for path in tree.code_paths():
        if path.endswith(".h") and Path(path).parts[0] in MODULES:
            if not THREADS.search("\n".join(opening_comment(tree.lines(path)))):
                yield Problem(path, 1, "the opening comment says nothing about threads")


def opening_comment(lines):
    for line in lines:
        if not line.startswith("//"):
            return
        yield line


def check_unfinished_work(tree):
    for path in tree.paths():
        for number, line in enumerate(tree.lines(path), start=1):
            match = UNFINISHED.search(line)
            if match:
                yield Problem(path, number, f'"{match.group(0)}": finish it, or file an issue')


def check_machine_paths(tree):
    for path in tree.paths():
        for number, line in enumerate(tree.lines(path), start=1):
            match = MACHINE_PATH.search(line)
            if match:
                yield Problem(path, number, f"a path of one machine: {match.group(0).strip()}...")


def python_paths(tree):
    return [p for p in tree.paths() if p.endswith(".py")]
