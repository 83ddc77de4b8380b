"""`refute try`: one falsifier on its controls or a run's evidence, in this process, where a debugger can stop it."""

from __future__ import annotations

import difflib
import pdb  # what --pdb is for
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.options import FalsifierFolders, Json, RefuteDir
from refute.errors import UsageError
from refute.spec.folders import FALSIFIERS, REFUTE_DIR, SPECS, folders, where_specs_are

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refute.check.controls.attempt import Attempt
    from refute.falsifier.controls import Control
    from refute.falsifier.registry import Falsifier, Registry
    from refute.outcome import Measurement
    from refute.spec.criteria import FalsifierUse


def try_one(
    name: Annotated[str, typer.Argument(help="The falsifier, as it is declared.")],
    control: Annotated[
        str | None, typer.Option("--control", "-k", help="Only controls whose name holds this text.")
    ] = None,
    debug: Annotated[bool, typer.Option("--pdb", help="Stop in the debugger where an exception is raised.")] = False,
    run: Annotated[
        str | None, typer.Option(help="Also measure the evidence of this run: folder, id or `latest`.")
    ] = None,
    spec: Annotated[list[Path] | None, typer.Option(help="A spec file; repeatable (default: specs/*.yaml).")] = None,
    release: Annotated[
        Path | None, typer.Option(help="Take the specs that this release is judged by (and those of --spec).")
    ] = None,
    falsifiers: FalsifierFolders = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Call one falsifier in this process, on its controls under the bars of every use, and show its measurements.

    It prints where you see it, and `breakpoint()` works. Fails when a control misbehaves, or the evidence of a run
    cannot be measured. Nothing is recorded: what counts is what `pytest --falsifiers` does, in processes apart.
    """
    from refute.check.controls.attempt import attempts
    from refute.check.controls.trials import State, evidence_of
    from refute.falsifier.loading import load_registry
    from refute.judge.run.find_run import open_run

    if debug and as_json:
        raise UsageError("a debugger is for people, and --json for programs", hint="leave out --pdb or --json")
    # What it prints itself is not the JSON that was asked for.
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        falsifier = _falsifier(name, load_registry(folders(falsifiers, FALSIFIERS)))
        uses = _uses(name, spec, release)
        if not uses:
            typer.echo(f"no spec uses {name}: it is measured with its default parameters, and no bar decides")
        chosen = _controls(falsifier, control)
        evidence = None if run is None else evidence_of(open_run(run, refute_dir))
        made = []
        for attempt in attempts(falsifier, uses, chosen, evidence, _stop if debug else _show):
            made.append(attempt)
            if not as_json:
                _print(attempt)
    if as_json:
        print_json({"falsifier": name, "attempts": [attempt.as_json() for attempt in made]})
    raise typer.Exit(Status.FAILED if any(attempt.state is State.MISBEHAVED for attempt in made) else 0)


def _falsifier(name: str, registry: Registry) -> Falsifier:
    found = registry.get(name)
    if found is None:
        near = difflib.get_close_matches(name, registry) or list(registry)
        own = "" if FALSIFIERS.exists() else f"; for yours, {where_specs_are()}"
        raise UsageError(f"no falsifier is called {name!r}", hint=f"there are: {', '.join(near)}{own}")
    return found


def _uses(name: str, spec: list[Path] | None, release: Path | None) -> list[FalsifierUse]:
    from refute.spec.criteria import uses_of
    from refute.spec.selection import load_specs, select, spec_files

    if release is None:
        found = load_specs(spec_files(folders(spec, SPECS)))
    else:
        _, found = select(release, [SPECS], named=spec)
    return [use for use in uses_of([loaded.spec for loaded in found]) if use.uses == name]


def _controls(falsifier: Falsifier, part: str | None) -> Sequence[Control]:
    chosen = [control for control in falsifier.controls if part is None or part in control.name]
    if not chosen:
        names = ", ".join(control.name for control in falsifier.controls)
        raise UsageError(f"no control of {falsifier.name} has {part!r} in its name", hint=f"there are: {names}")
    return chosen


def _show(error: BaseException) -> None:
    from refute.falsifier.trial import log_traceback

    if isinstance(error, KeyboardInterrupt):
        raise error
    log_traceback(error)


def _stop(error: BaseException) -> None:
    _show(error)
    pdb.post_mortem(error.__traceback__)


def _print(attempt: Attempt) -> None:
    wanted = "evidence" if attempt.expected is None else f"control {attempt.case!r} must be {attempt.expected}"
    found = "" if attempt.observed is None else f", is {attempt.observed}"
    state = "measured" if attempt.state is None else str(attempt.state)
    _say(f"{attempt.use or '(no use)'}: {wanted}{found}: {state}")
    for measurement in attempt.measurements:
        _say(f"    {_measured(measurement)}{_bar(attempt, measurement.name)}")
    if attempt.reason and (not attempt.measurements or str(attempt.state) == "misbehaved"):
        _say(f"    {attempt.reason}")


def _measured(measurement: Measurement) -> str:
    interval = measurement.interval
    between = "" if interval is None else f" [{interval.low:.6g}, {interval.high:.6g}]"
    return f"{measurement.name} = {measurement.value:.6g} {measurement.unit}{between}, n = {measurement.n}"


def _bar(attempt: Attempt, measurement: str) -> str:
    return f"; bar {attempt.bars[measurement]}" if measurement in attempt.bars else ""


def _say(text: str) -> None:
    from refute.escaping import visible

    typer.echo(visible(text))
