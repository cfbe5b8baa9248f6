"""Runs a command; appends "LABEL SECONDS PEAK_KIB" to a file. Fails as the command fails.

measure.py RESULTS LABEL COMMAND...
"""

import os
import subprocess
import sys
import time


def main():
    results, label, *command = sys.argv[1:]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    if status != 0:
        sys.exit(f"measure: {' '.join(command)} ended with status {status}")
    with open(results, "a", encoding="utf-8") as file:
        file.write(f"{label} {seconds:.3f} {usage.ru_maxrss}\n")


if __name__ == "__main__":
    main()
