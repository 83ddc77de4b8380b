"""Makes docs/tour.md from a real run: `python docs/tour.py > docs/tour.md`; a test makes it again and compares.

It runs in a folder that is thrown away, and its paths are written as a reader would have them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

WIDTH = 100
KEY = "--key ~/.config/refute/keys/development.pub"
VERDICT = ".refute/runs/latest/verdict.intoto.json"
# What is said before a command, and the command.
STEPS = (
    (
        "From nothing: `refute init` writes a small release of eighty recorded answers, and a specification.",
        "refute init demo",
    ),
    ("", "cd demo"),
    ("Nothing is run to find mistakes in what people have written.", "refute check"),
    (
        "The gate shows every falsifier able to fail, tries to refute the release, and signs what came out.",
        "refute gate",
    ),
    ("Anybody who has the public key can check that, and demand it.", f"refute verify {VERDICT} {KEY} --require GO"),
    ("Now the model gets worse: every third answer is wrong.", "sed -i '0~3s/\"answer\": /&1/' evidence/answers.jsonl"),
    ("", "cp .refute/runs/latest/verdict.intoto.json before.intoto.json"),
    ("What changed is another subject, and is judged anew.", "refute gate"),
    (
        "What is different between both, regressions first.",
        f"refute diff before.intoto.json {VERDICT} {KEY} --format md",
    ),
    (
        "A falsifier can be called by itself, on its controls, where you can see and debug it.",
        "refute try answer-accuracy",
    ),
)
# What differs from run to run.
MASKS = (
    (r"\b[0-9a-f]{64}\b", "0" * 64),
    (r"\b[0-9a-f]{12,40}\b", "0" * 12),
    (r"\d{8}T\d{6}Z-[0-9a-f]{6}", "20260101T000000Z-000000"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "2026-01-01T00:00:00Z"),
    (r"\d+ passed in [\d.]+s", "2 passed in 0.1s"),
    (r"done in \d+ s", "done in 0 s"),
    (r"\d+ falsifiers", "100 falsifiers"),
    (r"code was contained: .*", "code was contained"),  # as far as a machine has namespaces
    (r"engine .*: 0\.\d+\.\d+", "engine: 0.0.0"),
)


def masked(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, constant in MASKS:
        text = re.sub(pattern, constant, text)
    return text


def tour(root: Path) -> str:
    """The page, from a run in the empty folder `root`. Each command's output is what it printed, and its status."""
    parts = ["# A tour\n\nEvery output on this page comes from a real run, by `docs/tour.py`.\n"]
    folder = root
    for said, command in STEPS:
        parts.append(f"{said}\n" if said else "")
        if command.startswith("cd "):
            folder = root / command.removeprefix("cd ")
            printed = ""
        else:
            printed = "".join(f"{line}\n" for line in _run(command, folder, root))
        parts.append(f"```console\n$ {command}\n{printed}```\n")
    return "\n".join(part for part in parts if part)


def _run(command: str, folder: Path, root: Path) -> Iterator[str]:
    variables = {
        "HOME": str(root / "home"),
        "REFUTE_KEYS": str(root / "home/.config/refute/keys"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": str(WIDTH),
        "NO_COLOR": "1",
    }
    done = subprocess.run(  # noqa: S603  # the commands of the table above
        ["/bin/bash", "-c", command.replace("~/", f"{root}/home/")],
        cwd=folder,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    shown = done.stdout.replace(f"{root}/home", "~").replace(str(root / "demo"), "~/demo")
    yield from (line.rstrip() for line in shown.splitlines())
    if done.returncode:
        yield f"[status {done.returncode}]"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.stdout.write(tour(Path(made).resolve()))
