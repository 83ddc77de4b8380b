"""`refute controls`: the controls of all falsifiers alone, and what they notice when falsifiers are broken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json, RefuteDir
from refute.errors import UsageError
from refute.spec.folders import FALSIFIERS, REFUTE_DIR, SPECS, folders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from refute.check.controls.kill_matrix import KillMatrix
    from refute.check.controls.sabotage import EngineMatrix
    from refute.check.controls.trials import ControlTrial
    from refute.falsifier.context import Evidence
    from refute.falsifier.registry import Registry
    from refute.spec.criteria import Spec


_FAILED = 1


# Where this repository has its own sabotages. They are in no wheel: nobody releases a sabotaged engine.
HERE = Path("tests/assets/sabotage")


def controls(
    spec: Annotated[list[Path] | None, typer.Option(help="A spec file; repeatable (default: specs/*.yaml).")] = None,
    falsifiers: Annotated[
        list[Path] | None, typer.Option(help="Folders with falsifiers (default: falsifiers).")
    ] = None,
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
    from refute.check.controls.trials import try_uses
    from refute.spec.criteria import uses_of

    if only and not mutate:
        raise UsageError("--only chooses what --mutate breaks", hint="add --mutate")
    specs, registry, evidence = _gather(spec, falsifiers, run, refute_dir)
    if mutate:
        from refute.check.controls.kill_matrix import kill_matrix

        matrix = kill_matrix(uses_of(specs), registry, evidence, only=only or (), tell=_progress(quiet=as_json))
        # The catalogue of this checkout is about its own specs, all of their falsifiers.
        given = sabotages or (HERE if HERE.is_dir() and not spec and not only else None)
        engines = None if no_sabotages else _engines(given)
        if as_json:
            print_json({**matrix.as_json(), "engines": None if engines is None else engines.as_json()})
        else:
            _show_matrix(matrix)
            _show_engines(engines)
        survived = [fate.survived for fate in matrix.fates]
        survived += [] if engines is None else [fate.survived for fate in engines.fates]
        raise typer.Exit(_FAILED if any(survived) else 0)
    trials = list(try_uses(specs, registry, evidence))
    states = Counter(trial.state for trial in trials)
    if as_json:
        print_json({"states": dict(states), "controls": [trial.as_json() for trial in trials]})
    else:
        _show_controls(trials)
    raise typer.Exit(_FAILED if states["misbehaved"] or not trials else 0)


def _gather(
    spec: list[Path] | None, falsifiers: list[Path] | None, run: str | None, refute_dir: Path
) -> tuple[list[Spec], Registry, Mapping[str, Evidence]]:
    from refute.check.controls.trials import NoRun, evidence_of
    from refute.falsifier.loading import load_registry
    from refute.judge.run.folder import open_run
    from refute.spec.selection import load_specs, spec_files

    paths = spec_files(folders(spec, SPECS))
    if not paths:
        raise UsageError(f"there is no spec in {SPECS}/", hint="name one with --spec, or run `refute init`")
    evidence: Mapping[str, Evidence] = NoRun() if run is None else evidence_of(open_run(run, refute_dir))
    return [loaded.spec for loaded in load_specs(paths)], load_registry(folders(falsifiers, FALSIFIERS)), evidence


def _show_controls(trials: list[ControlTrial]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*("use", "control", "expected", "observed", ""), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for trial in trials:
        told = ("", "") if trial.result is None else (str(trial.result.expected), str(trial.result.observed))
        table.add_row(trial.use, trial.control, *told, "" if trial.state == "behaved" else trial.state)
    Console(width=None if Console().is_terminal else 160).print(table)
    for trial in trials:
        if trial.result is not None and not trial.result.behaved:
            typer.echo(f"{trial.use}: control {trial.control!r}: {trial.result.reason}")
    behaved = sum(trial.state == "behaved" for trial in trials)
    waiting = sum(trial.state == "needs a run" for trial in trials)
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


def _engines(package: Path | None) -> EngineMatrix | None:
    from refute.check.controls.sabotage import engine_matrix

    return None if package is None else engine_matrix(package)


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
