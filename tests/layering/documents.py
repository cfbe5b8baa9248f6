"""What people read stays true: links, the list of packages, what a merge left, and the size of the
test data."""

import re
from pathlib import Path

from tree import Problem

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MERGE_MARKER = re.compile(r"^(<{7} |={7}$|>{7} )")
MAX_DATA_BYTES = 8_000_000


def check_links_in_documents(tree):
    """Relative links, and their anchors, lead somewhere."""
    for path in tree.paths():
        if not path.endswith(".md"):
            continue
        for number, line in enumerate(tree.lines(path), start=1):
            for target in LINK.findall(line):
                if not is_external(target) and not leads_somewhere(tree, path, target):
                    yield Problem(path, number, f"the link {target} leads nowhere")


def is_external(target):
    return re.match(r"[a-z]+:", target) is not None


def leads_somewhere(tree, path, target):
    name, _, anchor = target.partition("#")
    linked = (Path(path).parent / name) if name else Path(path)
    if not tree.exists(linked):
        return False
    return not anchor or anchor in anchors(tree.lines(linked))


def anchors(lines):
    """The anchors that forges give to headings: lower case, no punctuation, dashes for spaces."""
    found = set()
    for line in lines:
        if line.startswith("#"):
            heading = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


def check_packages_are_explained(tree):
    """scripts/packages.sh and docs/DEPENDENCIES.md name the same packages."""
    script, document = "scripts/packages.sh", "docs/DEPENDENCIES.md"
    installed = set(packages_of_script("\n".join(tree.lines(script))))
    explained = set(re.findall(r"^\| `([^`]+)` ", "\n".join(tree.lines(document)), re.MULTILINE))
    for package in sorted(installed - explained):
        yield Problem(document, 1, f"does not explain {package}, which {script} installs")
    for package in sorted(explained - installed):
        yield Problem(script, 1, f"does not install {package}, which {document} explains")


def packages_of_script(text):
    block = re.search(r"^PACKAGES=\((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    return [] if block is None else re.sub(r"#.*", "", block.group(1)).split()


def check_merges_are_finished(tree):
    """No file has the marks of a merge that nobody finished."""
    for path in tree.paths():
        for number, line in enumerate(tree.lines(path), start=1):
            if MERGE_MARKER.match(line):
                yield Problem(path, number, "the mark of a merge that was not finished")


def check_data_size(tree):
    """A clone stays small."""
    folder = tree.root / "tests" / "data"
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    if total > MAX_DATA_BYTES:
        yield Problem("tests/data", 1, f"{total} bytes; at most {MAX_DATA_BYTES}")
