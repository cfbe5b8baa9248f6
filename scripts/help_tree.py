"""The program's command line as data, read from its own help texts.

read_commands(PROGRAM) gives a tree: each Command knows its words ("delta", "apply"), its one-line
description, its options, its positional arguments and its subcommands.
"""

import re
import subprocess
from dataclasses import dataclass, field

# At column 0, or indented inside an option group.
HEADING = re.compile(r"^(\s*)(Options|Positionals|Subcommands):$")
# "  -o,--output FILE REQUIRED   What it is for"; the description may start on the next line.
ENTRY = re.compile(r"^(\s+)(\S+)((?: \S+)*?)(?:\s{2,}(\S.*))?$")
# What stands behind the name of a value, or alone behind a flag.
REMARKS = re.compile(r" (REQUIRED|(Excludes|Needs):.*)")
CHOICES = re.compile(r"\{([^}]*)\}")


@dataclass
class Option:
    flags: list  # ["-o", "--output"]
    metavar: str  # "" for a flag without a value
    description: str

    @property
    def long(self):
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])

    @property
    def choices(self):
        match = CHOICES.search(self.metavar)
        return match.group(1).split(",") if match else []


@dataclass
class Positional:
    name: str
    metavar: str
    description: str


@dataclass
class Command:
    words: tuple
    description: str = ""
    options: list = field(default_factory=list)
    positionals: list = field(default_factory=list)
    subcommands: list = field(default_factory=list)

    @property
    def name(self):
        return " ".join(self.words)

    def walk(self):
        yield self
        for command in self.subcommands:
            yield from command.walk()


def read_commands(program, words=(), description=""):
    result = subprocess.run([program, *words, "--help"], check=True, text=True, capture_output=True)
    command = Command(tuple(words), description)
    for section, names, metavar, text in entries(result.stdout):
        if section == "Subcommands":
            command.subcommands.append(read_commands(program, (*words, names), text))
        elif section == "Positionals":
            command.positionals.append(Positional(names, metavar, text))
        else:
            command.options.append(Option(names.split(","), metavar, text))
    return command


def entries(help_text):
    """(section, names, metavar, description) of each entry, wrapped lines joined."""
    found, section, indent, open_entry = [], None, 0, False
    for line in map(str.rstrip, help_text.splitlines()):
        heading, entry = HEADING.match(line), ENTRY.match(line)
        if heading:
            section, indent, open_entry = heading.group(2), len(heading.group(1)) + 2, False
        elif not line or not line[0].isspace():
            section, open_entry = (section if not line else None), False
        elif section and entry and len(entry.group(1)) == indent:
            _, names, metavar, text = entry.groups()
            found.append([section, names, REMARKS.sub("", metavar).strip(), text or ""])
            open_entry = True
        elif open_entry:
            found[-1][3] = f"{found[-1][3]} {line.strip()}".strip()
    return found
