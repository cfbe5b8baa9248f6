#!/usr/bin/env python3
"""How close decoding of models that are all resident comes to plain reads of memory, as a table in Markdown.

bench/resident_bench.py PROGRAM CORE_DIR... [--turns N] [--tokens N] [--peer COMMAND]

In turns, so that all of them meet the same machine: `PROGRAM plan` measures plain reads by the same threads,
`PROGRAM run` generates, `plan` measures again, and the peer generates (`COMMAND CORE_DIR.gguf TOKENS 0`; bench/peer/
has one). GB/s are the bytes of weight pages that a token uses times tokens/s. A turn's share of plain reads is taken
against the mean of its two measurements; a machine whose neighbours come and go between the two shows in the range.
Columns are medians; the range of the turns is in brackets.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def plan(program, core):
    out = subprocess.run([program, "plan", core, "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def tokens_per_second(program, core, tokens):
    with tempfile.TemporaryDirectory() as folder:
        stats = pathlib.Path(folder) / "stats.json"
        subprocess.run([program, "run", core, "-p", "Once upon a time", "-n", str(tokens), "--temp", "0",
                        "--stats", stats], check=True, capture_output=True)
        return json.loads(stats.read_text(encoding="utf-8"))["generation_tokens_per_second"]


def peer_rate(command, core, tokens):
    gguf = f"{pathlib.Path(core)}.gguf"
    out = subprocess.run([*command.split(), gguf, str(tokens), "0"], check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1])["tokens_per_second"]


def measure(arguments, core):
    """Lists by name, a value to each turn."""
    turns = {"plain": [], "rate": [], "bytes": [], "share": [], "peer": [], "ratio": []}
    for _ in range(arguments.turns):
        before = plan(arguments.program, core)
        rate = tokens_per_second(arguments.program, core, arguments.tokens)
        after = plan(arguments.program, core)
        plain = (before["memory_bytes_per_second"] + after["memory_bytes_per_second"]) / 2
        turns["plain"].append(plain / 1e9)
        turns["rate"].append(rate)
        turns["bytes"].append(rate * before["token_bytes"] / 1e9)
        turns["share"].append(rate * before["token_bytes"] / plain)
        if arguments.peer:
            turns["peer"].append(peer_rate(arguments.peer, core, arguments.tokens))
            turns["ratio"].append(rate / turns["peer"][-1])
    return turns


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("cores", nargs="+", metavar="CORE_DIR")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--peer", help="another engine's command")
    arguments = parser.parse_args()
    print("| model | tokens/s | GB/s of weights | plain reads, GB/s | of plain reads | peer tokens/s | ours/peer |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for core in arguments.cores:
        turns = measure(arguments, core)
        peer = [spread(turns["peer"], 1), spread(turns["ratio"])] if arguments.peer else ["", ""]
        print("|", " | ".join([pathlib.Path(core).name, spread(turns["rate"], 1), spread(turns["bytes"], 1),
                               spread(turns["plain"], 1), spread(turns["share"]), *peer]), "|", flush=True)


if __name__ == "__main__":
    main()
