"""`refute eval compare`: two results files over the same problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from refute.cli.eval.figures import compare
from refute.cli.eval.run_folder import ASKED
from refute.engines.humaneval.readers.result_file import ResultFile, read_results
from refute.errors import UsageError

# A different value of these may change an outcome without any change of the model.
_CONDITIONS = ("timeout_s", "memory_mib", "isolation", "python")
_SHOWN = 12


def compare_files(a: Path, b: Path, *, partial: bool, seed: int) -> dict[str, object]:
    """B against A, paired by problem: shares, intervals, difference, McNemar's p-value, problems won and lost.

    Raises UsageError where one was ended early by a sequential test, and where the two are about different problem
    files, about models that were asked by two protocols or system prompts, or not about the same tasks unless
    `partial`; then the tasks of both are compared. MissingInputsError for a file that is no results file.
    """
    first = read_results(a)
    second = read_results(b).named_as(first)
    _whole(first)
    _whole(second)
    _same_problems(first, second)
    _asked_alike(first, second)
    common = [task for task in first.counts if task in second.counts]
    only = {
        "a": [task for task in first.counts if task not in second.counts],
        "b": [task for task in second.counts if task not in first.counts],
    }
    if not common or (any(only.values()) and not partial):
        raise _other_tasks(first, second, only, len(common))
    found = compare(
        {task: first.counts[task].share for task in common},
        {task: second.counts[task].share for task in common},
        seed=seed,
    )
    return {
        **asdict(found),
        "seed": seed,
        "files": {"a": str(first.path), "b": str(second.path)},
        "runs": {"a": first.identity, "b": second.identity},
        "samples_a_problem": {"a": _sizes(first, common), "b": _sizes(second, common)},
        "only": only,
        "notes": _notes(first, second, common),
    }


def _whole(results: ResultFile) -> None:
    """Refuse a run that its own bar ended early: which problems it judged depends on how it did."""
    rule = (results.identity or {}).get("sequential")
    looks = rule.get("looks") if isinstance(rule, dict) else None
    most = looks[-1] if looks else 0
    if len(results.counts) < most:
        raise UsageError(
            f"{results.path} ended as soon as its bar was decided, after {len(results.counts)} of {most} problems: "
            "a comparison would be biased",
            hint="score all problems, without --bar",
        )


def _same_problems(a: ResultFile, b: ResultFile) -> None:
    digests = [None if each.identity is None else each.identity.get("problems_sha256") for each in (a, b)]
    if None not in digests and digests[0] != digests[1]:
        raise UsageError(
            f"{a.path} is about the problem file with SHA-256 {digests[0]}, {b.path} about {digests[1]}",
            hint="score both samples files with the same --problems",
        )


def _asked_alike(a: ResultFile, b: ResultFile) -> None:
    asked = [{name: (each.identity or {}).get(name) for name in ASKED} for each in (a, b)]
    known = all(each["protocol"] is not None for each in asked)
    differing = [name for name in ASKED if known and asked[0][name] != asked[1][name]]
    if differing:
        found = "; ".join(f"{name} was {asked[0][name]!r} in A, {asked[1][name]!r} in B" for name in differing)
        raise UsageError(
            f"the two models were not asked in the same way: {found}",
            hint="let both answer by one protocol: scores under two are not comparable",
        )


def _other_tasks(a: ResultFile, b: ResultFile, only: Mapping[str, list[str]], common: int) -> UsageError:
    parts = [
        f"only in {each.path}, {len(names)}: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"
        for each, names in ((a, only["a"]), (b, only["b"]))
        if names
    ]
    hint = f"compare the {common} common problems with --partial" if common else "these have no problem in common"
    return UsageError(f"the two files are not about the same problems: {'; '.join(parts)}", hint=hint)


def _sizes(results: ResultFile, tasks: list[str]) -> list[int]:
    sizes = [results.counts[task].n for task in tasks]
    return [min(sizes), max(sizes)]


def _notes(a: ResultFile, b: ResultFile, common: list[str]) -> list[str]:
    notes = [
        f"{each.path} does not say what it is a result of: problems, limits and isolation are unknown"
        for each in (a, b)
        if each.identity is None
    ]
    if a.identity is not None and b.identity is not None:
        notes += [
            f"{name} differs: {a.identity.get(name)} in A, {b.identity.get(name)} in B"
            for name in _CONDITIONS
            if a.identity.get(name) != b.identity.get(name)
        ]
    if _sizes(a, common) != _sizes(b, common):
        notes.append("A and B do not have the same number of samples a problem")
    return notes
