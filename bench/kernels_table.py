"""Runs kernels_bench and prints one table in Markdown.

kernels_table.py KERNELS_BENCH [FILTER]

FILTER is a regular expression over names (bench/kernels_bench.cc lists them). Rates of one thread, by its
own time: gigabytes of weights a second, the ratio to a plain read of the same memory in the same run, and
billions of multiply-adds of 16-bit activations a second.
"""

import json
import subprocess
import sys

PROMPTS = (1, 8, 16, 128, 512)


def run(program, pattern):
    command = [program, "--benchmark_format=json", "--benchmark_min_time=0.1",
               f"--benchmark_filter={pattern}"]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(result.stdout)["benchmarks"]


def cell(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def matrix_rows(results):
    rows = {}
    for result in results:
        kind, *rest = result["name"].split("/")
        if kind not in ("dram", "cached", "prompt"):
            continue
        row = rows.setdefault((rest[0], rest[1]), {})
        if kind == "prompt":
            row[int(rest[2])] = result["GMAC"]
        else:
            row[kind] = result["bytes_per_second"] / 1e9
            row["ratio"] = result.get("of_plain_read", row.get("ratio"))
    return rows


def print_matrices(rows):
    print("| type | instructions | DRAM GB/s | of plain read | cached GB/s | "
          + " | ".join(f"GMAC/s x{n}" for n in PROMPTS) + " |")
    print("|---|---|" + "--:|" * (3 + len(PROMPTS)))
    for (tensor_type, isa), row in rows.items():
        cells = [cell(row.get("dram")), cell(row.get("ratio"), 2), cell(row.get("cached"))]
        cells += [cell(row.get(n), 0) for n in PROMPTS]
        print(f"| {tensor_type} | {isa} | " + " | ".join(cells) + " |")


def print_others(results):
    print("\n| other work | GB/s | of plain read | GMAC/s |\n|---|--:|--:|--:|")
    for result in results:
        name = result["name"].removesuffix("/manual_time")
        if name.split("/")[0] in ("dram", "cached", "prompt"):
            continue
        rate = result.get("bytes_per_second")
        rate = None if rate is None else rate / 1e9
        print(f"| {name} | {cell(rate)} | {cell(result.get('of_plain_read'), 2)} | "
              f"{cell(result.get('GMAC'), 0)} |")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    results = run(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else ".")
    print_matrices(matrix_rows(results))
    print_others(results)


if __name__ == "__main__":
    main()
