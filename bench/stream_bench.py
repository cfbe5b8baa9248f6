"""Measures runs of cores under memory budgets and prints tables in Markdown.

stream_bench.py [--quick] [--peer COMMAND] [--limited-peer COMMAND] [--budgets LIST] GGUF_SHARD WORK_DIR CORE_DIR...

For each core, decode under --budgets (shares of the GGUF's size, or bytes: 10%, 512M, 2G; default 10, 25,
50, 75 %) and with all of it resident:

  tokens/s       the median of the repetitions
  limit          1 / max((matrices - pool) / disk, time per token when all is resident). The disk's rate is
                 that of direct reads of the same core (`gguf-shard plan`), the mean of one before and one
                 after each repetition
  of limit       the median of each repetition's ratio
  read/token     bytes, and their ratio to (matrices - pinned), which is what has to be read
  peak           the largest resident memory that the kernel recorded, and the budget
  page cache     how much more of the core the page cache holds afterwards (fincore)
  first token    from the start of the program, and its ratio to (bytes of the matrices / disk)
  peer           COMMAND of --limited-peer under budgets, of --peer where all is resident and for prompts

Then prompts in batches of 512 tokens under 25 %, against all resident: tokens/s of the batches after the
first, from the difference between a prompt of three batches and one of one. Models with experts are run
at 30 % under each cache policy instead, with the hit ratios of `gguf-shard simulate`.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import sys

from stream_limits import LimitedRuns, cached_bytes

PROMPT = "Once upon a time"
UNITS = {"%": None, "M": 1 << 20, "G": 1 << 30}
WORDS = "the dog and a cat saw that all of it was not in his old red house but on her big hat ".split()


def mib(value):
    return f"{value / 2**20:.0f} MiB"


def gigabytes(rate):
    return f"{rate / 1e9:.2f} GB/s"


class Bench:
    def __init__(self, arguments):
        self.program = arguments.program
        self.work = pathlib.Path(arguments.work)
        self.quick = arguments.quick
        self.peer = shlex.split(arguments.peer or "")
        self.limited_peer = shlex.split(arguments.limited_peer or "") or self.peer
        self.budgets = arguments.budgets.split(",")
        self.repeats = 3 if arguments.quick else 5
        self.limits = LimitedRuns()

    def plan(self, core, budget_bytes=None):
        command = [self.program, "plan", str(core), "--json"]
        if budget_bytes:
            command += ["--memory-budget", str(budget_bytes)]
        return json.loads(self.limits.run(command)[0])

    def run(self, core, budget_bytes, prompt, tokens, more=(), temperature="0"):
        """Statistics of one run, with the disk's rate around it."""
        stats_path = self.work / "stream_bench.stats.json"
        before = self.plan(core)
        cached_before = cached_bytes(core / "core.gguf")
        _, seconds = self.limits.run(
            [self.program, "run", str(core), "-p", prompt, "-n", str(tokens), "--temp", temperature,
             "--seed", "1", "--memory-budget", str(budget_bytes), "--quiet", "--stats", str(stats_path), *more],
            budget_bytes)
        cached_after = cached_bytes(core / "core.gguf")
        after = self.plan(core)
        stats = json.loads(stats_path.read_text(encoding="utf-8"))
        stats["disk"] = (before["disk_bytes_per_second"] + after["disk_bytes_per_second"]) / 2
        stats["memory"] = max(before["memory_bytes_per_second"], after["memory_bytes_per_second"])
        stats["start_to_first_token"] = stats["load_seconds"] + stats["time_to_first_token_seconds"]
        stats["process_seconds"] = seconds
        if cached_before is not None and cached_after is not None:
            stats["page_cache_growth"] = cached_after - cached_before
        return stats

    def tokens_for(self, core_bytes, budget_bytes):
        """Enough for a few seconds, not for minutes."""
        seconds = max((core_bytes - budget_bytes) / 1.5e9, core_bytes / 2e10)
        wanted = (4 if self.quick else 10) / seconds
        return int(min(64, max(6, wanted)))

    def peer_rate(self, gguf, budget_bytes, tokens, prompt_tokens=0):
        command = self.limited_peer if budget_bytes else self.peer
        if not command or not gguf.exists():
            return {}
        rates = {}
        for _ in range(1 if self.quick else 3):
            try:
                out, _ = self.limits.run([*command, str(gguf), str(tokens), str(prompt_tokens)],
                                         budget_bytes, 900)
                for key, value in json.loads(out.splitlines()[-1]).items():
                    rates.setdefault(key, []).append(value)
            except (RuntimeError, ValueError, IndexError) as error:
                print(f"peer: {error}", file=sys.stderr)
                return {}
        return {key: statistics.median(values) for key, values in rates.items()}


def median_of(runs, key):
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.median(values) if values else None


def bytes_of(budget, size):
    """Of `10%` (of the GGUF), `512M` or `2G`."""
    unit = UNITS[budget[-1]]
    return int(float(budget[:-1]) * (unit or size / 100))


def decode_row(bench, core, gguf, size, plan, name, resident_seconds):
    """One line of the decode table, and the seconds per token. Without a name: all resident."""
    budget = bytes_of(name, size) if name else plan["budgets"][-1]["memory_budget_bytes"]
    tokens = bench.tokens_for(size, budget)
    runs = [bench.run(core, budget, PROMPT, tokens) for _ in range(bench.repeats)]
    for run in runs:
        must_read = max(0, plan["token_bytes"] - run["pool_bytes"])
        memory_seconds = resident_seconds or 1 / run["generation_tokens_per_second"]
        run["limit"] = 1 / max(must_read / run["disk"], memory_seconds)
        run["of_limit"] = run["generation_tokens_per_second"] / run["limit"]
        run["first_ratio"] = run["start_to_first_token"] / (plan["token_bytes"] / run["disk"])
    rate = median_of(runs, "generation_tokens_per_second")
    due = max(0, plan["token_bytes"] - runs[0]["pinned_bytes"])
    read = median_of(runs, "bytes_read_per_generated_token")
    growth = median_of(runs, "page_cache_growth")
    peer = bench.peer_rate(gguf, budget if name else None, tokens).get("tokens_per_second")
    cells = [name or "all", mib(budget), f"{rate:.2f}",
             f"{median_of(runs, 'limit'):.2f}", f"{median_of(runs, 'of_limit'):.2f}", mib(read),
             f"{read / due:.3f}" if due else "-",
             f"{mib(max(run['peak_resident_bytes'] for run in runs))}",
             "?" if growth is None else mib(growth), f"{median_of(runs, 'start_to_first_token'):.2f} s",
             f"{median_of(runs, 'first_ratio'):.2f}", gigabytes(median_of(runs, "disk")),
             "" if peer is None else f"{peer:.2f}", "" if peer is None else f"{rate / peer:.2f}"]
    return "| " + " | ".join(cells) + " |", 1 / rate


def print_decode(bench, core, gguf, size, plan):
    print("| budget | | tokens/s | limit | of limit | read/token | of what is due | peak | page cache | "
          "first token | of disk's | disk | peer tokens/s | ours/peer |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    resident, seconds = decode_row(bench, core, gguf, size, plan, None, None)
    for name in bench.budgets:
        try:
            print(decode_row(bench, core, gguf, size, plan, name, seconds)[0], flush=True)
        except RuntimeError as error:
            print(f"| {name} | {error} |")
    print(resident, flush=True)


def prompt_of(bench, core, tokens):
    """A text of just so many tokens, or a few less."""
    def count(words):
        text = " ".join((WORDS * (words // len(WORDS) + 1))[:words])
        out, _ = bench.limits.run([bench.program, "tokenize", str(core), "-p", text])
        return text, len(out.replace(",", " ").split())
    low, high = 1, tokens
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(middle)[1] <= tokens else (low, middle - 1)
    return count(low)


def batch_rate(bench, core, budget, prompts):
    """Tokens per second of warm batches, the disk's rate, bytes read for each batch."""
    (short, short_tokens), (long, long_tokens) = prompts
    options = ("--batch", "512", "--ctx", "2048")
    rates, disks, reads = [], [], []
    for _ in range(1 if bench.quick else 3):
        first = bench.run(core, budget, short, 1, options)
        both = bench.run(core, budget, long, 1, options)
        seconds = both["time_to_first_token_seconds"] - first["time_to_first_token_seconds"]
        rates.append((long_tokens - short_tokens) / seconds)
        disks.append(max(first["disk"], both["disk"]))
        reads.append((both["bytes_read"] - first["bytes_read"]) / 2)
    return statistics.median(rates), statistics.median(disks), statistics.median(reads)


def print_prompt(bench, core, gguf, size, plan):
    prompts = prompt_of(bench, core, 500), prompt_of(bench, core, 1500)
    all_bytes = plan["budgets"][-1]["memory_budget_bytes"] + (64 << 20)
    resident, _, _ = batch_rate(bench, core, all_bytes, prompts)
    streamed, disk, read = batch_rate(bench, core, size // 4, prompts)
    disk_limit = 500 * disk / read if read else float("inf")
    limit = min(resident, disk_limit)
    peer = bench.peer_rate(gguf, None, 1, 512).get("prompt_tokens_per_second")
    print("\n| prompts of 512 | tokens/s | the disk's limit | of min(resident, disk) | peer, resident |\n"
          "|---|--:|--:|--:|--:|")
    print(f"| all resident | {resident:.1f} | | | {'' if peer is None else f'{peer:.1f}'} |")
    print(f"| 25 % | {streamed:.1f} | {disk_limit:.1f} | {streamed / limit:.2f} | |", flush=True)


def print_experts(bench, core, size):
    """Each policy at 30 %, and what a replay of the run says."""
    budget = size * 30 // 100
    trace = bench.work / "stream_bench.trace"
    # Sampled, for greedy text of random weights repeats itself; the same text under every policy.
    tokens = 200 if bench.quick else 400
    print("| policy | tokens/s | read/token | stalls | peak | budget |\n|---|--:|--:|--:|--:|--:|")
    for policy in ("lru", "frequency"):
        options = ("--cache-policy", policy, "--trace", str(trace))
        runs = [bench.run(core, budget, PROMPT, tokens, options, "0.8") for _ in range(1 if bench.quick else 2)]
        print(f"| {policy} | {median_of(runs, 'generation_tokens_per_second'):.2f} "
              f"| {mib(median_of(runs, 'bytes_read_per_generated_token'))} "
              f"| {median_of(runs, 'stall_seconds'):.2f} s | {mib(median_of(runs, 'peak_resident_bytes'))} "
              f"| {mib(budget)} |", flush=True)
    out, _ = bench.limits.run([bench.program, "simulate", str(trace), "--json", "--budget",
                               str(runs[0]["pool_bytes"])])
    results = {row["policy"]: row for row in json.loads(out)["results"]}
    lru, best = results["lru"]["hit_ratio"], results["optimum"]["hit_ratio"]
    print("\n| replayed | hit ratio | of the gap between lru and optimum |\n|---|--:|--:|")
    for policy, row in results.items():
        gap = (row["hit_ratio"] - lru) / (best - lru) if best > lru else 0
        print(f"| {policy} | {row['hit_ratio']:.3f} | {100 * gap:.0f} % |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer")
    parser.add_argument("--limited-peer")
    parser.add_argument("--budgets", default="10%,25%,50%,75%")
    parser.add_argument("program")
    parser.add_argument("work")
    parser.add_argument("cores", nargs="+", type=pathlib.Path)
    bench = Bench(parser.parse_args())
    cores = parser.parse_args().cores
    try:
        print(f"Control: {bench.limits.note}.")
        for core in cores:
            gguf = core.parent / f"{core.name}.gguf"
            source = json.loads((core / "core.sgmap").read_text(encoding="utf-8"))["source"]
            size = sum(file["bytes"] for file in source["files"])
            plan = bench.plan(core)
            kernels = ", ".join(f"{name} {gigabytes(rate)}"
                                for name, rate in plan["kernel_bytes_per_second"].items())
            print(f"\n## {core.name} ({mib(size)}; disk {gigabytes(plan['disk_bytes_per_second'])}, memory "
                  f"{gigabytes(plan['memory_bytes_per_second'])}, kernels {kernels})\n", flush=True)
            if source["architecture"].endswith("moe"):
                print_experts(bench, core, size)
                continue
            print_decode(bench, core, gguf, size, plan)
            print_prompt(bench, core, gguf, size, plan)
    finally:
        bench.limits.close()


if __name__ == "__main__":
    main()
