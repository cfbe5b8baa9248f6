"""Prints the table of a forge benchmark: medians, rates and ratios.

forge_table.py RESULTS SOURCE_BYTES CORE_BYTES     (RESULTS as written by measure.py)
"""

import statistics
import sys

# What each measurement is compared with, and the ratio it should reach.
GOALS = {
    "shard": ("cp+sync", 0.70),
    "unshard": ("cp+sync", None),
    "verify": ("direct read", 0.80),
    "verify --fast": ("direct read", None),
    "verify --full": ("direct read", None),
}


def read_results(path):
    results = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            label, seconds, peak_kib = line.rsplit(maxsplit=2)
            results.setdefault(label, []).append((float(seconds), int(peak_kib)))
    return results


def main():
    path, source_bytes, core_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    results = read_results(path)
    medians = {label: statistics.median(s for s, _ in runs) for label, runs in results.items()}
    print(f"{'':14} {'median':>8} {'spread':>15} {'rate':>11} {'peak RSS':>9}  ratio")
    for label, runs in results.items():
        reads_core = label.startswith("verify") or label == "direct read"
        byte_size = core_bytes if reads_core else source_bytes
        seconds = sorted(s for s, _ in runs)
        peak_mib = max(kib for _, kib in runs) / 1024
        line = (f"{label:14} {medians[label]:6.2f} s {seconds[0]:6.2f}..{seconds[-1]:5.2f} s "
                f"{byte_size / medians[label] / 1e6:6.0f} MB/s {peak_mib:5.0f} MiB")
        if label in GOALS:
            reference, goal = GOALS[label]
            wanted = "" if goal is None else f", goal {goal:.0%}"
            line += f"  {medians[reference] / medians[label]:.0%} of {reference}{wanted}"
        print(line)


if __name__ == "__main__":
    main()
