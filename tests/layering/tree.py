"""The repository as the rules see it: its source files and their includes.

A Problem is one broken rule at one place; every rule is a function from a Tree to Problems.
"""

import re
from dataclasses import dataclass
from pathlib import Path

# module -> the modules it may include besides itself (docs/ARCHITECTURE.md draws them)
MODULES = {
    "core": set(),
    "gpu": {"core"},
    "forge": {"core"},
    "delta": {"core"},
    "kernels": {"core", "gpu"},
    "atlas": {"core", "gpu"},
    "runtime": {"core", "atlas", "kernels", "gpu"},
    "validate": {"core", "gpu", "forge", "delta", "kernels", "atlas", "runtime"},
    "cli": {"core", "gpu", "forge", "delta", "kernels", "atlas", "runtime", "validate"},
}

OTHER_FOLDERS = ["include", "examples", "tests", "bench", "scripts", "cmake", "docs", "schemas", ".ci"]
CODE_SUFFIXES = {".cc", ".h", ".c", ".comp", ".glsl"}
TEXT_SUFFIXES = CODE_SUFFIXES | {
    ".py", ".sh", ".bash", ".zsh", ".fish", ".js", ".mjs",
    ".cmake", ".md", ".json", ".txt", ".1",
}
SKIPPED_FOLDERS = {"build", "node_modules", "__pycache__", ".git", ".cache"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


@dataclass(frozen=True, order=True)
class Problem:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Include:
    line: int
    quoted: bool
    target: str


class Tree:
    """Files under `root`, by their path relative to it."""

    def __init__(self, root):
        self.root = Path(root)

    def paths(self):
        """Every text file of the project, sorted."""
        # In a linked worktree .git is a file.
        found = [p for p in self.root.iterdir() if p.is_file() and is_text(p) and p.name != ".git"]
        for folder in [*MODULES, *OTHER_FOLDERS]:
            for path in (self.root / folder).rglob("*"):
                inside = path.relative_to(self.root).parts
                if path.is_file() and is_text(path) and not SKIPPED_FOLDERS.intersection(inside):
                    found.append(path)
        return sorted(str(p.relative_to(self.root)) for p in found)

    def code_paths(self):
        return [p for p in self.paths() if Path(p).suffix in CODE_SUFFIXES]

    def lines(self, path):
        return (self.root / path).read_text(encoding="utf-8").splitlines()

    def includes(self, path):
        for number, line in enumerate(self.lines(path), start=1):
            match = INCLUDE.match(line)
            if match:
                yield Include(number, match.group(1) == '"', match.group(2))

    def exists(self, path):
        return (self.root / path).exists()


def is_text(path):
    if path.suffix in TEXT_SUFFIXES:
        return True
    # Scripts without a suffix (demo, test, .ci/run) and licences.
    return path.suffix == "" and path.stat().st_size < 1 << 20 and b"\0" not in path.read_bytes()
