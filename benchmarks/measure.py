"""Time and memory of pieces of work, measured in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figures:
    """Median seconds by the wall and of CPU over some rounds, and the most memory above the start, in bytes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def compare(pieces: Mapping[str, Work], *, rounds: int, device: str, only: str | None) -> dict[str, Figures]:
    """Figures of each piece; every round runs all of them once, after one round that is not counted.

    Memory on the CPU is measured in a process for each piece (this program again, with --only), because an allocator
    that has grown for one piece hides what the next one needs. With `only`, print that and end.
    """
    if only is not None:
        before = _reset_peak(device)
        for _ in range(2):
            pieces[only]()
        print(_peak(device) - before)
        raise SystemExit
    walls: dict[str, list[float]] = {name: [] for name in pieces}
    cpus: dict[str, list[float]] = {name: [] for name in pieces}
    peaks = dict.fromkeys(pieces, 0)
    for turn in range(rounds + 1):
        for name, work in pieces.items():
            before = _reset_peak(device)
            wall, cpu = time.perf_counter(), time.process_time()
            kept = work()
            _wait(device)
            if turn > 0:
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
            peaks[name] = max(peaks[name], _peak(device) - before)
            del kept
    if device == "cpu":
        peaks = {name: _peak_alone(name) for name in pieces}
    return {
        name: Figures(statistics.median(walls[name]), statistics.median(cpus[name]), peaks[name]) for name in pieces
    }


def table(title: str, figures: Mapping[str, Figures], baseline: str) -> str:
    """Markdown: seconds, ratios to the baseline by wall and by CPU time, memory."""
    base = figures[baseline]
    lines = [
        f"### {title}",
        "",
        "| | wall s | CPU s | wall, of baseline | CPU, of baseline | peak above inputs, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in figures.items():
        ratios = f"{found.wall_s / base.wall_s:.2f} | {found.cpu_s / base.cpu_s:.2f}"
        lines.append(f"| {name} | {found.wall_s:.3f} | {found.cpu_s:.3f} | {ratios} | {found.peak_bytes / 2**20:.0f} |")
    return "\n".join(lines) + "\n"


def _peak_alone(name: str) -> int:
    command = [sys.executable, *sys.argv, "--only", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def machine(device: str) -> str:
    """One line about where this was measured."""
    what = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return f"{what}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _reset_peak(device: str) -> int:
    """Forget the peak; returns what is in use now."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # see proc(5): resets VmHWM
    return _status("VmRSS")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
