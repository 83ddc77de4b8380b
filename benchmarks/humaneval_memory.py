"""Memory of a pool of workers under completions that each try to take 8 GiB, in four ways.

python benchmarks/humaneval_memory.py [--workers 8] [--isolation TIER]; Linux. It takes workers x 512 MiB at most.
"""

from __future__ import annotations

import argparse
import os
import platform
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refute.engines.humaneval.sandbox.stations import Stations
from refute.humaneval import Isolation, Problem, probe_isolation

MIB = 1024 * 1024
LIMIT_MIB, TIMEOUT_S = 512, 5.0
PROBLEM = Problem(
    "memory/0",
    'def take() -> int:\n    """Return 1."""\n',
    "take",
    "    return 1\n",
    "def check(candidate):\n    assert candidate() == 1\n",
)
HOARDS = {
    "one block": "x = bytearray(8 << 30)",
    "blocks of 1 MiB, written": "x = [bytearray(b'x' * (1 << 20)) for _ in range(8 << 10)]",
    "kept when refused": """x = []
    while True:
        try: x.append(bytearray(b'x' * (1 << 20)))
        except MemoryError: pass""",
    "files": """n = 0
    while True:
        try:
            with open(f"/tmp/{n}" if n % 2 else f"/dev/shm/{n}", "wb") as file: file.write(bytes(1 << 20))
        except OSError: pass
        n += 1""",
}


def descendants(pid: int) -> Iterator[int]:
    """Every living process below `pid`."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
        except OSError:
            continue
    waiting = list(parents.get(pid, []))
    while waiting:
        child = waiting.pop()
        yield child
        waiting += parents.get(child, [])


def resident_mib(pids: Iterator[int]) -> tuple[float, float]:
    """Sum and largest of the resident sets; pages that forks share are counted in each."""
    page = os.sysconf("SC_PAGE_SIZE")
    sizes = [0.0]
    for pid in pids:
        try:
            sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page / MIB)
        except OSError:
            continue
    return sum(sizes), max(sizes)


def peak(hoard: str, workers: int, isolation: Isolation) -> tuple[float, float, dict[str, int]]:
    """Highest sum and highest single resident set while every worker runs `hoard` once, and the outcomes."""
    program = f"def take():\n    {hoard}\n    return 1\n"
    highest, largest, done = 0.0, 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest, largest
        while not done.is_set():
            total, single = resident_mib(descendants(os.getpid()))
            highest, largest = max(highest, total), max(largest, single)
            time.sleep(0.02)  # between samples of the resident sets, which walk all of /proc

    watcher = threading.Thread(target=watch)
    outcomes: dict[str, int] = {}
    with (
        Stations(workers, isolation, timeout_s=TIMEOUT_S, memory_mib=LIMIT_MIB) as stations,
        ThreadPoolExecutor(workers) as pool,
    ):
        watcher.start()
        try:
            for result in pool.map(lambda _: stations.check(PROBLEM, program), range(workers)):
                outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
        finally:
            done.set()
            watcher.join()
    return highest, largest, outcomes


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--isolation", type=Isolation, default=probe_isolation())
    chosen = parser.parse_args()
    print(f"### {chosen.workers} workers, {LIMIT_MIB} MiB each, isolation {chosen.isolation.value}\n")
    print("| 8 GiB as | peak RSS of all, MiB | of the largest process, MiB | outcomes |")
    print("|---|---|---|---|")
    for name, hoard in HOARDS.items():
        if name == "files" and chosen.isolation is not Isolation.BUBBLEWRAP:
            continue  # there they would fill the machine's own disk until the deadline
        total, single, outcomes = peak(hoard, chosen.workers, chosen.isolation)
        print(f"| {name} | {total:.0f} | {single:.0f} | {outcomes} |", flush=True)
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
