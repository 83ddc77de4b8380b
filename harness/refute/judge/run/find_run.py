"""Which run folder a person means: by path, by id, as `latest`, or, unnamed, the newest that waits for a judge."""

from __future__ import annotations

import os
from pathlib import Path

from refute.errors import EvidenceError, UsageError
from refute.judge.run.folder import RunFolder
from refute.judge.run.verdict_files import verdicts_in
from refute.spec.folders import runs_folder

LATEST = "latest"


def open_run(text: str, root: Path) -> RunFolder:
    """The run folder at path `text`, or of that id (or `latest`) below `root`/runs. Raises UsageError without one."""
    for path in (Path(text), runs_folder(root) / text):
        if (path / "run.json").exists():
            return RunFolder(path.resolve())
    raise UsageError(f"no run {text!r} here or below {runs_folder(root)}", hint="run `pytest --falsifiers` first")


def newest_unjudged(root: Path) -> RunFolder:
    """The newest run below `root`/runs that has ended and has no verdict. Raises UsageError that says what there is."""
    found = [RunFolder(path.resolve()) for path in sorted(_run_folders(root), reverse=True)]
    waiting = [run for run in found if run.has_ended and not verdicts_in(run.path)]
    if waiting:
        return waiting[0]
    if not found:
        raise UsageError(f"no run below {runs_folder(root)}", hint="run `pytest --falsifiers` first")
    newest = found[0].path.name
    state = "is judged already" if verdicts_in(found[0].path) else "did not reach its end"
    raise UsageError(
        f"no run below {runs_folder(root)} waits for a judge; the newest of {len(found)}, {newest}, {state}",
        hint=f"to judge one again, name it: refute judge {newest}",
    )


def point_latest(run: RunFolder, root: Path) -> None:
    """Let `latest` show people the run that was judged last. A name to look at: nothing is decided by it.

    Does nothing for a run that lies elsewhere. Raises EvidenceError where the link cannot be made.
    """
    runs = runs_folder(root)
    if run.path.parent != runs.resolve():
        return
    staged = runs / f".{LATEST}.{os.getpid()}"
    try:
        staged.unlink(missing_ok=True)
        staged.symlink_to(run.path.name)
        staged.replace(runs / LATEST)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise EvidenceError(f"{runs / LATEST} does not point to the run: {error.strerror or error}") from error


def _run_folders(root: Path) -> list[Path]:
    return [path.parent for path in runs_folder(root).glob("*/run.json") if not path.parent.is_symlink()]
