"""python -m sabotage.document: write docs/catalogue.md from the catalogue."""

from __future__ import annotations

from pathlib import Path

from sabotage.catalogue import Catalogue, Failure, Sabotage, load_catalogue

PAGE = Path(__file__).parents[3] / "docs" / "catalogue.md"
_HEAD = """\
# The catalogue of recorded failures

Generated from `tests/assets/sabotage/catalogue.yaml`; do not edit. Every failure that has been recorded of the system
that this replaces (`seed`), of distillation libraries (`kd`), of comparisons of models (`eval`), of other gates
(`gate`) and of this one (`run`) stands here once. What can happen in a release judged by the built-in engines is done
on purpose: a patch is applied to the real engine, inside the process of the experiment, in a small world where the
untouched line is GO under the shipped specification. The falsifier that is named must then refuse, for the stated
reason, and the verdict must be NO-GO. `pytest tests/sabotage` does all of it.

What this does not prove: that a sabotage which nobody thought of is noticed, or that one which knows the falsifiers
cannot evade them.
"""
_GROUPS = {
    "seed": "The system being replaced",
    "kd": "Distillation libraries",
    "eval": "Comparisons of models",
    "gate": "Gates and test runners",
    "run": "Training runs past their first step",
}


def render(catalogue: Catalogue) -> str:
    """The page, in Markdown."""
    failures = catalogue.failures
    inside = [failure for failure in failures if failure.outside is None]
    lines = [
        _HEAD,
        f"{len(failures)} failures: {len(inside)} in the domain, "
        f"{sum(bool(failure.sabotages) for failure in inside)} of them ended by falsifiers in "
        f"{len(catalogue.sabotages())} sabotages, the others held by tests of the gate itself; "
        f"{len(failures) - len(inside)} outside.",
    ]
    for prefix, title in _GROUPS.items():
        lines += ["", f"## {title}", "", "| id | what happened | what ends it here |", "|---|---|---|"]
        lines += [_row(failure) for failure in failures if failure.id.startswith(f"{prefix}-")]
    return "\n".join(lines) + "\n"


def _row(failure: Failure) -> str:
    ends = [_sabotage(each) for each in failure.sabotages] + [f"test `{_short(test)}`" for test in failure.tests]
    answer = "<br>".join(ends) if failure.outside is None else f"outside: {failure.outside}"
    return f"| {failure.id} | {failure.happened} | {answer} |"


def _sabotage(sabotage: Sabotage) -> str:
    what = f"`{sabotage.patch}` in {', '.join(sabotage.experiments)}" if sabotage.patch else _inputs(sabotage)
    return f"{what}: **{sabotage.falsifier}** ({sabotage.because})"


def _inputs(sabotage: Sabotage) -> str:
    bars = [f"`{name} {bar}`" for each in sabotage.bars.values() for name, bar in each.items()]
    places = [f"`{place}` = {_value(value)}" for place, value in sabotage.release.items()]
    return ", ".join([*(f"bar {bar}" for bar in bars), *places])


def _value(value: object) -> str:
    return str(value["model"]["path"]) if isinstance(value, dict) and "model" in value else str(value)


def _short(test: str) -> str:
    return test.removeprefix("tests/")


if __name__ == "__main__":
    PAGE.write_text(render(load_catalogue()), encoding="utf-8")
