"""A staged release in a folder of its own, ready to be pushed: what the gate staged, and the verdict on it beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from refute.engines.publish.manifest import add_copy, check_against, write_manifest
from refute.engines.publish.push import StagedRelease
from refute.errors import UsageError
from refute.job import ProgressCallback
from refute.spec.experiments.evidence_files import RELEASED


def lay_out(staged: Path, beside: Mapping[str, Path], out: Path, report: ProgressCallback) -> StagedRelease:
    """Copy the release that the evidence in `staged` holds into the new folder `out`, and files `beside` it by path.

    Each file is read once, and hashed as it is copied. Raises UsageError where something is in `out` already,
    VerificationError where a file is not what the gate has staged.
    """
    before = StagedRelease.read(staged)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", hint="name another folder with --out: what was staged stays as it is")
    total, done = before.size + sum(each.stat().st_size for each in beside.values()), 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        report("copy and hash", done, total, {})

    folder = out / RELEASED.name
    files = [add_copy(before.folder / each.path, folder, each.path, each.source, told) for each in before.files]
    files += [add_copy(source, folder, path, "stage", told) for path, source in beside.items()]
    write_manifest(out, files)
    made = StagedRelease.read(out)
    by_path = {each.path: each for each in made.files}
    if changed := [each.path for each in before.files if by_path[each.path] != each]:
        raise UsageError(f"{changed[0]} is not what the gate has staged", hint="run the gate again")
    return made


def check(staged: StagedRelease, report: ProgressCallback) -> None:
    """Hash what was laid out. Raises VerificationError where it is not what its manifest says."""
    done = 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        report("hash the staged files", done, staged.size, {})

    check_against(staged.folder, staged.files, told)
