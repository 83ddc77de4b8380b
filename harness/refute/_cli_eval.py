"""`refute eval …`: arguments of the evaluation's commands, and what they print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="HumanEval: score samples, compare results.")

INCOMPLETE = 1
_SHOWN = 20


class Tier(StrEnum):
    """Isolation tiers, from least to most."""

    RLIMITS = "rlimits"
    SECCOMP = "seccomp"
    BUBBLEWRAP = "bubblewrap"


Problems = Annotated[
    Path | None, typer.Option(help="Problem file of HumanEval's schema (default: the official 164, by their digest).")
]
Timeout = Annotated[float, typer.Option(help="Wall seconds for a program and its tests.", min=0.01)]
Minimum = Annotated[Tier, typer.Option(help="Refuse to execute programs with less isolation than this.")]
Workers = Annotated[int | None, typer.Option(help="Programs executed at a time (default: one a CPU).", min=1)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def score(
    samples: Annotated[Path, typer.Argument(help="openai/human-eval's samples: rows with task_id, completion.")],
    out: Annotated[Path, typer.Option(help="Results, one row a sample; an interrupted call continues there.")],
    problems: Problems = None,
    timeout: Timeout = 10.0,
    minimum_isolation: Minimum = Tier.SECCOMP,
    workers: Workers = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept missing problems and uneven counts.")] = False,
    as_json: Json = False,
) -> None:
    """Execute samples and count passes. Ends in 0 if every sample was scored, in 1 if a line or a sample was not."""
    from refute.eval_command import limits_of, read_problems, score_file

    limits = limits_of(timeout, minimum_isolation.value, workers)
    figures = score_file(samples, out, problems=read_problems(problems), limits=limits, partial=partial)
    typer.echo(json.dumps(figures, indent=1) if as_json else "\n".join(show_score(figures)))
    raise typer.Exit(INCOMPLETE if figures["faulty_lines"] or figures["errors"] else 0)


@app.command(name="compare")
def compare_command(
    a: Annotated[Path, typer.Argument(help="Results of the old model: a file, or a folder with results.jsonl.")],
    b: Annotated[Path, typer.Argument(help="Results of the new one.")],
    partial: Annotated[bool, typer.Option("--partial", help="Compare only the problems that both have.")] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap over problems.", min=0)] = 17,
    as_json: Json = False,
) -> None:
    """Compare two results files problem by problem: B against A, with the problems won and lost."""
    from refute.eval_compare import compare_files

    found = compare_files(a, b, partial=partial, seed=seed)
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(show_comparison(found)))


def show_comparison(found: Mapping[str, Any]) -> list[str]:
    """A comparison, in lines."""
    lines = [
        f"{name.upper()}         {100 * found[name]:.2f} %   {_intervals(found[f'{name}_intervals'])}"
        for name in ("a", "b")
    ]
    lines.append(f"B - A     {100 * found['difference']:+.2f} points   {_intervals(found['difference_intervals'])}")
    if found["p_value"] is None:
        lines.append("McNemar   does not apply: samples of one problem disagree; the bootstrap over problems counts")
    else:
        lines.append(f"McNemar   p = {found['p_value']:.4g}, exact, two-sided")
    lines += [
        f"{name:9} {len(found[name])} of {found['problems']} problems" + "".join(f" {task}" for task in found[name])
        for name in ("won", "lost")
    ]
    left_out = [f"only in {name.upper()}: {_some(tasks)}" for name, tasks in found["only"].items() if tasks]
    return [*lines, *left_out, *(f"note: {note}" for note in found["notes"])]


def show_score(figures: Mapping[str, Any]) -> list[str]:
    """The figures of a scored file, in lines."""
    few, many = figures["samples_a_problem"]
    each = f"{few} sample{'s' if few != 1 else ''} each" if few == many else f"{few} to {many} samples each"
    lines = [
        f"{f'pass@{k}':9} {100 * value:.2f} %"
        + (f"   {_intervals(figures['pass_at_1_intervals'])}" if k == "1" else "")
        for k, value in figures["pass_at_k"].items()
    ]
    lines.append(
        f"passed    {figures['passed']} of {figures['scored']} samples; "
        f"{figures['problems']} of {figures['problems_in_file']} problems, {each}"
    )
    return [*lines, *_conditions(figures), *_gaps(figures)]


def _conditions(figures: Mapping[str, Any]) -> list[str]:
    times, run = figures["timeouts"], figures["run"]
    depended = (
        "some outcome depended on one" if times["outcome_depended_on_a_timeout"] else "no outcome depended on one"
    )
    return [
        f"timeouts  {times['timed_out']}, after {times['retried_alone']} retried alone; {depended}",
        f"isolation {run['isolation']}; {run['timeout_s']:g} s, {run['memory_mib']} MiB a program",
        f"problems  sha256 {run['problems_sha256']}",
        f"results   {figures['results']} ({figures['wall_s']:.1f} s)",
    ]


def _gaps(figures: Mapping[str, Any]) -> list[str]:
    missing, uneven = figures["missing_problems"], figures["uneven_problems"]
    lines = [f"missing   {len(missing)} problems without a sample: {_some(missing)}"] if missing else []
    lines += [f"uneven    {len(uneven)} problems: {_some(list(uneven))}"] if uneven else []
    lines += [f"line {fault['line']}: {fault['reason']}" for fault in figures["faulty_lines"]]
    return lines + [
        f"not scored: {error['task_id']}, sample {error['sample']}: {error['reason']}" for error in figures["errors"]
    ]


def _intervals(found: list[Mapping[str, Any]]) -> str:
    shown = ", ".join(f"{each['method']} [{100 * each['low']:.2f}, {100 * each['high']:.2f}]" for each in found)
    return f"{100 * found[0]['level']:g} % {shown}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
