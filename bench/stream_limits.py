"""Runs programs in a memory control group, where that may be done, one after the other.

Both kinds of control groups are handled. Without the right to make one, programs run as they are, and
`LimitedRuns.note` says so.
"""

import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path("/sys/fs/cgroup")
GROUP = f"gguf-shard-bench-{os.getpid()}"


class LimitedRuns:
    """One group for all runs, one after the other."""

    def __init__(self):
        self.group = None
        if (ROOT / "memory").is_dir():
            candidates = [(ROOT / "memory", "memory.limit_in_bytes")]
        else:
            candidates = [(ROOT, "memory.max")]
        for parent, limit_file in candidates:
            try:
                group = parent / GROUP
                group.mkdir()
                self.group, self.limit_file = group, limit_file
                (group / limit_file).write_text(str(1 << 40))
            except OSError:
                self.close()
        self.note = ("each run in a memory control group limited to its budget, page cache included"
                     if self.group else "no control groups here: only the programs' own budgets limit them")

    def close(self):
        if self.group is not None and self.group.is_dir():
            self.group.rmdir()
        self.group = None

    def _prepare(self, limit_bytes):
        if self.group is None:
            return None
        # What an earlier run left in the page cache leaves with a limit of nothing.
        empty = self.group / "memory.force_empty"
        if empty.exists():
            for _ in range(5):
                try:
                    empty.write_text("0")
                    break
                except OSError:
                    time.sleep(0.2)
        (self.group / self.limit_file).write_text(str(limit_bytes or (1 << 40)))
        return lambda: (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def run(self, command, limit_bytes=None, timeout_s=1800):
        """(standard output, seconds). Raises RuntimeError when the command fails."""
        enter = self._prepare(limit_bytes)
        start = time.monotonic()
        # Only this child is stopped when it takes too long.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   preexec_fn=enter, start_new_session=True)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise RuntimeError(f"{command[0]} took more than {timeout_s} s") from None
        seconds = time.monotonic() - start
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command[:2])} ended with {process.returncode}: {err[-400:]}")
        return out, seconds


def cached_bytes(path):
    """What the page cache holds of a file; None where that cannot be asked."""
    try:
        out = subprocess.run(["fincore", "-b", "-n", "-o", "RES", str(path)], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return int(out.split()[0])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
