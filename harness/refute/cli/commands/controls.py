"""`refute controls`: the controls of all falsifiers alone, and what they notice when falsifiers are broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import require_folders
from refute.cli.console import print_json, rich_console
from refute.cli.exit_statuses import Status
from refute.cli.options import FalsifierFolders, Json, RefuteDir
from refute.errors import UsageError
from refute.spec.folders import FALSIFIERS, REFUTE_DIR, SPECS, folders, where_specs_are

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from refute.check.controls.kill_matrix import KillMatrix
    from refute.check.controls.sabotage import EngineMatrix
    from refute.check.controls.trials import ControlTrial
    from refute.falsifier.context import Evidence
    from refute.falsifier.registry import Registry
    from refute.spec.criteria import Spec


# Where this repository has its own sabotages. They are in no wheel: nobody releases a sabotaged engine.
HERE = Path("tests/assets/sabotage")


def controls(
    spec: Annotated[list[Path] | None, typer.Option(help="A spec file; repeatable (default: specs/*.yaml).")] = None,
    falsifiers: FalsifierFolders = None,
    run: Annotated[
        str | None, typer.Option(help="A run whose evidence controls may tamper with: folder, id or `latest`.")
    ] = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="Break the falsifiers, and see which control notices.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="With --mutate: this falsifier only; repeatable.")] = None,
    sabotages: Annotated[
        Path | None,
        typer.Option(
            help=f"With --mutate: a package of sabotages of the engines (default, without --spec and --only: {HERE})."
        ),
    ] = None,
    no_sabotages: Annotated[
        bool, typer.Option("--no-sabotages", help="With --mutate: falsifiers only; sabotages take minutes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every falsifier its controls, without a release.

    Most controls lay out their own evidence; those that tamper with a run's need --run, and are listed as such without
    it. Fails when a control misbehaves. With --mutate, falsifiers are changed in one place at a time (a comparison
    inverted, a measurement constant or dropped, a guard removed, an operand ignored, min for max, off by one). Each
    mutant meets the same controls on the same path; one that no control notices is a hole, and the command fails.
    Then the engines are sabotaged, in a small world of their own, and every falsifier is asked about that.
    """
    if (only or sabotages or no_sabotages) and not mutate:
        raise UsageError("--only, --sabotages and --no-sabotages choose what --mutate breaks", hint="add --mutate")
    require_folders([sabotages] if sabotages and not no_sabotages else [])
    inputs = _inputs(spec, falsifiers, run, refute_dir)
    if mutate:
        # The catalogue of this checkout is about its own specs, all of their falsifiers.
        catalogue = sabotages or (HERE if HERE.is_dir() and not spec and not only else None)
        failed = _mutate(inputs, only or (), None if no_sabotages else catalogue, as_json=as_json)
    else:
        failed = _try_controls(inputs, as_json=as_json)
    raise typer.Exit(Status.FAILED if failed else 0)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What controls are tried with: the uses of falsifiers under their bars, and a run's evidence, if one was named."""

    specs: list[Spec]
    registry: Registry
    evidence: Mapping[str, Evidence]


def _inputs(spec: list[Path] | None, falsifiers: list[Path] | None, run: str | None, refute_dir: Path) -> _Inputs:
    from refute.check.controls.trials import NoRun, evidence_of
    from refute.falsifier.loading import load_registry
    from refute.judge.run.find_run import open_run
    from refute.spec.selection import load_specs, spec_files

    asked = folders(spec, SPECS)
    paths = spec_files(asked)
    if not paths:
        places = ", ".join(map(str, asked or [SPECS]))
        raise UsageError(f"there is no spec in {places}", hint=f"name one with --spec, or {where_specs_are()}")
    return _Inputs(
        specs=[loaded.spec for loaded in load_specs(paths)],
        registry=load_registry(folders(falsifiers, FALSIFIERS)),
        evidence=NoRun() if run is None else evidence_of(open_run(run, refute_dir)),
    )


def _try_controls(inputs: _Inputs, *, as_json: bool) -> bool:
    """Try every control and show what came of it; returns whether one misbehaved, or there was none."""
    from refute.check.controls.trials import State, try_uses

    trials = list(try_uses(inputs.specs, inputs.registry, inputs.evidence))
    states = Counter(trial.state for trial in trials)
    if as_json:
        counts = {str(state): count for state, count in states.items()}
        print_json({"states": counts, "controls": [trial.as_json() for trial in trials]})
    else:
        _show_controls(trials)
    return bool(states[State.MISBEHAVED]) or not trials


def _mutate(inputs: _Inputs, only: Sequence[str], sabotages: Path | None, *, as_json: bool) -> bool:
    """Mutate the falsifiers, then sabotage the engines; returns whether a mutant or a sabotage survived."""
    from refute.check.controls.kill_matrix import kill_matrix
    from refute.check.controls.sabotage import engine_matrix
    from refute.spec.criteria import uses_of

    uses, tell = uses_of(inputs.specs), _progress(quiet=as_json)
    matrix = kill_matrix(uses, inputs.registry, inputs.evidence, only=only, tell=tell)
    engines = None if sabotages is None else engine_matrix(sabotages)
    if as_json:
        print_json({**matrix.as_json(), "engines": None if engines is None else engines.as_json()})
    else:
        _show_matrix(matrix)
        _show_engines(engines)
    survivors = [fate for fate in matrix.fates if fate.survived]
    return bool(survivors) or (engines is not None and any(fate.survived for fate in engines.fates))


def _show_controls(trials: list[ControlTrial]) -> None:
    from rich.table import Table

    from refute.check.controls.trials import State

    table = Table(*("use", "control", "expected", "observed", ""), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for trial in trials:
        told = ("", "") if trial.result is None else (str(trial.result.expected), str(trial.result.observed))
        table.add_row(trial.use, trial.control, *told, "" if trial.state is State.BEHAVED else trial.state)
    console = rich_console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)
    for trial in trials:
        if trial.result is not None and not trial.result.behaved:
            typer.echo(f"{trial.use}: control {trial.control!r}: {trial.result.reason}")
    behaved = sum(trial.state is State.BEHAVED for trial in trials)
    waiting = sum(trial.state is State.NEEDS_RUN for trial in trials)
    typer.echo(f"controls {behaved}/{len(trials)} behaved" + (f", {waiting} need --run" if waiting else ""))


def _show_matrix(matrix: KillMatrix) -> None:
    for fate in matrix.fates:
        if fate.survived:
            typer.echo(f"SURVIVED  {fate.falsifier:24} {fate.place:24} {fate.change}")
    for fate in matrix.fates:
        if fate.accepted:
            typer.echo(f"accepted  {fate.falsifier:24} {fate.place:24} {fate.change}  ({fate.accepted})")
    for fate in matrix.fates:
        if fate.killed_by:
            others = f" and {len(fate.killed_by) - 1} more" if len(fate.killed_by) > 1 else ""
            first = next(iter(fate.killed_by))
            typer.echo(f"killed    {fate.falsifier:24} {fate.place:24} {fate.change}  by {first}{others}")
    for name in matrix.incomplete:
        typer.echo(f"note: some controls of {name} need --run")
    found = matrix.as_json()
    typer.echo(
        f"{found['killed']} of {found['mutants']} mutants killed, {found['accepted']} accepted as equivalent, "
        f"{found['survived']} survived: score {matrix.score:.1f} %"
    )


def _show_engines(matrix: EngineMatrix | None) -> None:
    if matrix is None:
        typer.echo(f"engines not sabotaged: no --sabotages, and no {HERE} here or only a part was asked for")
        return
    for fate in matrix.fates:
        names = fate.let_stand if fate.survived else fate.killed_by
        word, how = ("SURVIVED", "let stand by") if fate.survived else ("killed", "by")
        typer.echo(f"{word:9} {fate.failure:8} {fate.sabotage}  {how} {', '.join(names) or 'all'}")
    killed = sum(not fate.survived for fate in matrix.fates)
    typer.echo(f"{killed} of {len(matrix.fates)} sabotages of the engines killed: score {matrix.score:.1f} %")


def _progress(*, quiet: bool) -> Callable[[str, int, int], None]:
    def tell(name: str, done: int, total: int) -> None:
        if not quiet:
            typer.echo(f"{done}/{total} {name}", err=True)

    return tell
