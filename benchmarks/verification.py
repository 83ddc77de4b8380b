"""What it costs to check a verdict: `refute verify` of 20 criteria, a model's digest beside `sha256sum`, hostile JSON.

python benchmarks/verification.py [--gigabytes 1]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from refute.attest import hash_model
from refute.cli.commands.init import scaffold

CRITERIA = 20
HOSTILE_BYTES = 16 << 20
CRITERION = """
  - id: AC-MANY-{number:03}
    title: It adds correctly
    statement: At least 80 % of its answers are right.
    severity: block
    phase: 1
    falsifiers:
      - id: F-MANY-{number:03}
        uses: answer-accuracy
        thresholds:
          accuracy: {{ holds_if: ">= 80 %" }}
"""


def main() -> None:
    """Print one line a number, each beside what it is measured against."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    gigabytes: float = parser.parse_args().gigabytes
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        verdict, public = judged(place / "repository", place / "keys")
        print(f"python alone: {told(run('-c', 'pass'))}")
        verified = [run("-m", "refute", "verify", verdict, "--key", public) for _ in range(4)]
        print(f"refute verify, {CRITERIA} criteria, the first time: {told(verified[0])}")
        print(f"the same, warm, best of 3: {told(min(verified[1:]))}")
        hostile = place / "hostile.json"
        for kind, data in hostile_texts().items():
            hostile.write_bytes(data)
            refused = run("-m", "refute", "verify", hostile, "--key", public)
            print(f"refused, {len(data) >> 20} MiB of {kind}: {told(refused)}")
        hash_beside_sha256sum(place / "model", int(gigabytes * (1 << 30)))


def judged(repository: Path, keys: Path) -> tuple[Path, Path]:
    """A signed verdict on `CRITERIA` criteria, and the key that signed it."""
    scaffold(repository)
    spec = repository / "specs" / "example.yaml"
    criteria = "".join(CRITERION.format(number=number) for number in range(CRITERIA))
    spec.write_text(f"spec: SPEC-MANY-001\nversion: 1\ntitle: Many\ncriteria:{criteria}", encoding="utf-8")
    environment = {**os.environ, "REFUTE_KEYS": str(keys)}
    command = [sys.executable, "-P", "-m", "refute", "gate"]
    subprocess.run(command, cwd=repository, env=environment, check=True, stdout=subprocess.DEVNULL)
    return repository / ".refute/runs/latest/verdict.intoto.json", keys / "development.pub"


def hostile_texts() -> Mapping[str, bytes]:
    """JSON made to be expensive, by what it is made of."""
    return {
        "nesting": b"[" * HOSTILE_BYTES,
        "digits": b"[" + b"9" * HOSTILE_BYTES + b"]",
        "small numbers": b"[" + b"1," * (HOSTILE_BYTES // 2) + b"1]",
        "one payload": b'{"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}],"payload":"'
        + b"AAAA" * (HOSTILE_BYTES // 4)
        + b'"}',
        "signatures": b'{"payload":"","payloadType":"x","signatures":['
        + b'{"sig":"AA=="},' * (HOSTILE_BYTES // 15)
        + b'{"sig":"AA=="}]}',
    }


# What a process had before it became another counts as its own: so a small one starts it, and tells what it used.
_LAUNCHER = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, status)
"""


def run(*arguments: str | Path) -> tuple[float, float, int]:
    """CPU seconds that `python ARGUMENTS` took, its greatest resident megabytes, and its status."""
    command = [sys.executable, "-S", "-c", _LAUNCHER, sys.executable, *map(str, arguments)]
    seconds, megabytes, status = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(megabytes), int(status)


def told(measured: tuple[float, float, int]) -> str:
    """In words."""
    seconds, megabytes, status = measured
    return f"{seconds:.2f} CPU s, {megabytes:.0f} MB resident, status {status}"


def hash_beside_sha256sum(model: Path, size: int) -> None:
    """Hash the same file by turns; print the rate of `hash_model` as a share of that of `sha256sum`."""
    model.mkdir()
    block = os.urandom(1 << 20)
    with (model / "model.safetensors").open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
    times: Mapping[str, list[float]] = {"sha256sum": [], "hash_model": []}
    for _ in range(4):
        times["sha256sum"].append(cpu_of(["sha256sum", str(model / "model.safetensors")]))
        begun = time.process_time()
        hash_model(model)
        times["hash_model"].append(time.process_time() - begun)
    best = {name: min(found[1:]) for name, found in times.items()}
    share = best["sha256sum"] / best["hash_model"]
    print(f"{size / 1e9:.2f} GB hashed in {best['hash_model']:.2f} CPU s: {share:.0%} of the rate of sha256sum")


def cpu_of(command: Sequence[str]) -> float:
    """CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
