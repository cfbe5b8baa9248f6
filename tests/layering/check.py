"""Checks the repository against its rules: check.py walls|style|documents ROOT."""

import sys

import documents
import names
import style
import walls
from tree import Tree

RULES = {
    "walls": [walls.check_walls, walls.check_links],
    "style": [
        style.check_file_lengths,
        style.check_function_lengths,
        style.check_headers,
        style.check_thread_safety_is_stated,
        style.check_unfinished_work,
        style.check_machine_paths,
        names.check_names_of_sources,
    ],
    "documents": [
        documents.check_links_in_documents,
        documents.check_packages_are_explained,
        documents.check_merges_are_finished,
        documents.check_data_size,
    ],
}


def main():
    name, root = sys.argv[1:]
    tree = Tree(root)
    if not tree.code_paths():
        sys.exit(f"{root} holds no source")
    problems = sorted(problem for rule in RULES[name] for problem in rule(tree))
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
