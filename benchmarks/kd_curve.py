"""Time and memory of the KD loss as tokens and vocabulary grow.

python benchmarks/kd_curve.py [--device cuda --dtype bfloat16]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

_LOSS = Path(__file__).with_name("kd_loss.py")
_GRID = [(256, 32_000), (1024, 32_000), (4096, 32_000), (256, 151_936), (1024, 151_936), (4096, 151_936)]


def main() -> None:
    """Print one table, a row for each size; the dense loss is left out where it would not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    chosen = parser.parse_args()
    print("### KD loss as it grows (refute; of the four matrix products)\n")
    print("| tokens | vocabulary | wall s | CPU s | wall, of products | CPU, of products | peak above inputs, MiB |")
    print("|---|---|---|---|---|---|---|")
    for tokens, vocabulary in _GRID:
        command = [
            sys.executable,
            str(_LOSS),
            "--tokens",
            str(tokens),
            "--vocabulary",
            str(vocabulary),
            "--rounds",
            "1",
        ]
        command += ["--device", chosen.device, "--dtype", chosen.dtype, "--without-peers"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        row = next(line for line in lines if line.startswith("| refute"))
        print(f"| {tokens} | {vocabulary} | {row.split('|', 2)[2].strip()}", flush=True)


if __name__ == "__main__":
    main()
