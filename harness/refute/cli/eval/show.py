"""What the commands of `refute eval` print: figures in, lines out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 20
# So much of the first failure, in characters: it may quote what a program said.
_FIRST = 160


def show_score(figures: Mapping[str, Any]) -> list[str]:
    """The figures of a run, in lines."""
    return _show_sequential(figures) if figures["mode"] == "sequential" else _show_whole(figures)


def _show_whole(figures: Mapping[str, Any]) -> list[str]:
    """The figures of a run over all samples."""
    few, many = figures["samples_a_problem"]
    each = f"{few} sample{'s' if few != 1 else ''} each" if few == many else f"{few} to {many} samples each"
    lines = [
        f"{f'pass@{k}':9} {100 * value:.2f} %"
        + (f"   {_intervals(figures['pass_at_1_intervals'])}" if k == "1" else "")
        for k, value in figures["pass_at_k"].items()
    ] or ["pass@1    none: no sample got a verdict"]
    lines.append(
        f"passed    {figures['passed']} of {figures['scored']} samples; "
        f"{figures['problems']} of {figures['problems_in_file']} problems, {each}"
    )
    lines += [
        f"category  {name}: {100 * each['pass_at_1']:.2f} % of {each['problems']}   {_intervals(each['intervals'])}"
        for name, each in figures["by_category"].items()
    ]
    return [*lines, *_format(figures), *_conditions(figures), *_gaps(figures)]


def _show_sequential(found: Mapping[str, Any]) -> list[str]:
    """The figures of a run that stopped when it was decided."""
    saved = found["problems_in_file"] - found["problems"]
    decision = {
        "above": f"lies above {found['bar']:g} %",
        "below": f"lies below {found['bar']:g} %",
        "open": f"neither above nor below {found['bar']:g} %, with every problem judged",
    }
    interval = {**found["interval"], **{end: found["interval"][end] / 100 for end in ("low", "high")}}
    return [
        f"pass@1    {100 * found['pass_at_1']:.2f} %   {_intervals([interval])}",
        f"decision  {decision[found['decision']]}",
        f"passed    {found['passed']} of {found['problems']} problems; {saved} more were not needed",
        *_format(found),
        *_conditions(found),
        *_unscored(found),
    ]


def _format(figures: Mapping[str, Any]) -> list[str]:
    """Why answers are no programs, and, beside a zero, how all of them ended."""
    found = figures["format"]
    lines = []
    if found["faults"]:
        symptoms = "; ".join(f"{count} {name}" for name, count in found["symptoms"].items())
        share = f"{found['faults']} of {found['answers']}"
        lines.append(f"format    {share} did not compile, are empty or define something else: {symptoms}")
    if found["answers"] and not figures["passed"]:
        endings = ", ".join(f"{count} {name}" for name, count in found["endings"].items())
        lines.append(f"why zero  {endings}; the first, {found['first_failure'][:_FIRST]}")
    return lines


def _conditions(figures: Mapping[str, Any]) -> list[str]:
    times, run = figures["timeouts"], figures["run"]
    depended = (
        "some outcome depended on one" if times["outcome_depended_on_a_timeout"] else "no outcome depended on one"
    )
    return [
        f"timeouts  {times['timed_out']}, after {times['retried_alone']} retried alone for time or memory; {depended}",
        f"isolation {run['isolation']}; {run['timeout_s']:g} s, {run['memory_mib']} MiB a program",
        f"problems  {figures['problem_file']}; sha256 {run['problems_sha256']}",
        f"results   {figures['results']} ({figures['wall_s']:.1f} s)",
    ]


def _gaps(figures: Mapping[str, Any]) -> list[str]:
    missing, uneven = figures["missing_problems"], figures["uneven_problems"]
    lines = [f"missing   {len(missing)} problems without a sample: {_some(missing)}"] if missing else []
    lines += [f"uneven    {len(uneven)} problems: {_some(list(uneven))}"] if uneven else []
    lines += [f"line {fault['line']}: {fault['reason']}" for fault in figures["faulty_lines"]]
    return lines + _unscored(figures)


def _unscored(figures: Mapping[str, Any]) -> list[str]:
    faulty = figures["faulty_problems"]
    return [f"not scored: {task}: {reason}" for task, reason in faulty.items()] + [
        f"not scored: {error['task_id']}, sample {error['sample']}: {error['reason']}"
        for error in figures["errors"]
        if error["task_id"] not in faulty
    ]


def show_samples(summary: Mapping[str, Any]) -> list[str]:
    """How the samples were made, in lines."""
    found = summary["generation"]
    different, repeated, sampler = found["diversity"], found["repeated"], found["effective_sampler"]
    lines = [
        f"protocol  {found['protocol']}",
        *([f"system    {found['system_prompt']!r}"] if found["system_prompt"] is not None else []),
        f"sampler   {sampler['method']}, T = {sampler['temperature']:g}, top-p {sampler['top_p']:g}, "
        f"as {found['sampler_reported_by']}",
        f"tokens    {found['generated_tokens']}, ended by {found['stops']}, {found['tokens_per_s']:g} a second",
    ]
    if several := different["problems_with_several_samples"]:
        lines.append(
            f"samples   {different['distinct_samples']} of {different['samples']} differ within their problem; "
            f"all alike in {different['problems_with_identical_samples']} of {several} problems"
        )
    lines.append(f"repeated  {repeated['identical']} of {repeated['samples']} samples came out the same again")
    lines.append(f"          a sample depends on {found['samples_depend_on']}")
    lines += [f"server    {what}" for what in found.get("parameters_adapted", ())]
    lines += [f"extracted {count} answers: {how}" for how, count in found.get("extracted", {}).items()]
    if found["errors"]:
        lines.append(
            f"no answer {len(found['errors'])} samples: {_some([each['task_id'] for each in found['errors']])}"
        )
    return lines


def show_comparison(found: Mapping[str, Any]) -> list[str]:
    """A comparison, in lines."""
    lines = [
        f"{name.upper()}         {100 * found[name]:.2f} %   {_intervals(found[f'{name}_intervals'])}"
        for name in ("a", "b")
    ]
    lines.append(f"B - A     {100 * found['difference']:+.2f} points   {_intervals(found['difference_intervals'])}")
    if found["p_value"] is None:
        lines.append("McNemar   does not apply: samples of one problem disagree; the intervals over problems count")
    else:
        lines.append(f"McNemar   p = {found['p_value']:.4g}, exact, two-sided")
    lines += [
        f"{name:9} {len(found[name])} of {found['problems']} problems" + "".join(f" {task}" for task in found[name])
        for name in ("won", "lost")
    ]
    left_out = [f"only in {name.upper()}: {_some(tasks)}" for name, tasks in found["only"].items() if tasks]
    return [*lines, *left_out, *(f"note: {note}" for note in found["notes"])]


def _intervals(found: list[Mapping[str, Any]]) -> str:
    shown = ", ".join(f"{each['method']} [{100 * each['low']:.2f}, {100 * each['high']:.2f}]" for each in found)
    return f"{100 * found[0]['level']:g} % {shown}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
