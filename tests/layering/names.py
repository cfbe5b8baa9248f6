"""Names in anonymous namespaces: one meaning in a folder, since a build compiles several sources at once (GS_UNITY)."""

import re
from collections import defaultdict
from pathlib import Path

from tree import Problem

# Compiled alone (kernels/flags.cmake, CMakeLists.txt, tests/fuzz).
ALONE = re.compile(r"kernels/cpu/|delta/quant_codec\.cc$|tests/fuzz/|bench/|examples/|\w+/main/")

# At column 0, in clang-format's shape.
VALUE = re.compile(r"(?:static |inline )?const(?:expr)? [\w:<>, *&]+?[ *&](\w+)(?:\[[^\]]*\])* *[={]")
TYPE = re.compile(r"(?:struct|class|enum(?: class)?) (\w+)")
FUNCTION = re.compile(r"(?!return |template|namespace|using|TEST|INSTANTIATE)[\w:][\w:<>, *&\[\]]*[ *&](\w+)(\(.*)")
ALIAS = re.compile(r"using (\w+) = (.*)")
PARAMETER_NAME = re.compile(r"\s+\w+(?=[,)])")


def check_names_of_sources(tree):
    folders = defaultdict(lambda: defaultdict(dict))
    for path in tree.code_paths():
        if not path.endswith((".cc", ".h")) or ALONE.match(path):
            continue
        parts = Path(path).parts
        folder = "/".join(parts[:2]) if parts[0] == "tests" else parts[0]
        find = private_names if path.endswith(".cc") else header_types
        for name, number, what in find(tree.lines(path)):
            folders[folder][name].setdefault((path, what), number)
    for names in folders.values():
        for name, places in names.items():
            yield from clashes(name, places)


def clashes(name, places):
    """`what` tells overloads apart, and aliases of one type from those of two."""
    first = {}
    for (path, what), number in places.items():
        for other_path, other in first:
            if path.endswith(".h") and other_path.endswith(".h"):
                continue
            overloads = what[0] == other[0] == "(" and what != other
            same_alias = what[0] == other[0] == "=" and what == other
            if other_path != path and not overloads and not same_alias:
                yield Problem(path, number, f"{name} stands in {other_path}, too: share it or rename it")
                return
        first[(path, what)] = number


def header_types(lines):
    """Types that a header defines for everybody: a private thing of their name would hide them."""
    for number, line in enumerate(lines, start=1):
        match = TYPE.match(line)
        if match and not line.rstrip().endswith(";"):
            yield match[1], number, "value or type"


def private_names(lines):
    """(name, line number, what it is) of what anonymous namespaces define."""
    inside = False
    for number, line in enumerate(lines, start=1):
        if line in ("namespace {", "}  // namespace"):
            inside = line == "namespace {"
        if not inside or not line or line[0].isspace():
            continue
        if match := ALIAS.match(line):
            yield match[1], number, "=" + match[2]
        elif match := VALUE.match(line) or TYPE.match(line):
            yield match[1], number, "value or type"
        elif match := FUNCTION.match(line):
            yield match[1], number, PARAMETER_NAME.sub("", match[2].split(") ")[0] + ")")
