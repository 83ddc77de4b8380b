"""Two verdicts compared: every kind of difference is found, and exactly the documented ones are regressions."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from refute.attest import generate_key, load_private_key
from refute.judge.judge_run import Operator, judge_run
from refute.judge.predicate.model import Predicate
from refute.judge.run.folder import RunFolder
from refute.report.diff import Difference, compare_verdicts, diff_json, diff_markdown, diff_terminal
from refute.report.page.fitting import MARKDOWN_LIMIT
from refute.spec.waiver import Waiver

if TYPE_CHECKING:
    from tests.conftest import Cli

MakePredicate = Callable[..., Predicate]


def compare(old: Predicate, new: Predicate) -> Difference:
    """The difference of two predicates."""
    return compare_verdicts(old, new, old_payload="1" * 64, new_payload="2" * 64)


def test_a_verdict_does_not_differ_from_itself(make_predicate: MakePredicate) -> None:
    """Nothing differs, nothing regressed, every criterion is unchanged."""
    found = compare(make_predicate(), make_predicate())
    assert (found.regressions, found.terms, found.waivers) == ((), (), ())
    assert (found.inputs, found.evidence, found.environment) == ((), (), ())
    assert {each.state for each in found.criteria} == {"unchanged"}
    assert {each.direction for each in found.bars} == {"neutral"}
    assert {each.delta for each in found.metrics} == {0.0}


# name: (old text, new text, part of the one sentence; None where it is no regression)
EDITS: dict[str, tuple[str, str, str | None]] = {
    "a looser bar": (">= 80 %", ">= 70 %", "the bar of accuracy is looser: >= 80 % before, >= 70 % now"),
    "a tighter bar": (">= 80 %", ">= 90 %", None),
    "another unit": (">= 10 tokens/s", ">= 10 tokens/min", "speed is another, not a tighter one"),
    "a doubt in place of a failure": (
        '{holds_if: ">= 80 %"}',
        '{holds_if: ">= 80 %", inconclusive_if: "> 79 %"}',
        "the bar of accuracy is another",
    ),
    "a looser bar of what is only shown": (">= 20 rows", ">= 2 rows", "the bar of rows is looser"),
    "a bar more": (
        '{speed: {holds_if: ">= 10 tokens/s"}}',
        '{speed: {holds_if: ">= 10 tokens/s"}, steadiness: {holds_if: ">= 1 x"}}',
        None,
    ),
    "a lower severity": ("severity: block", "severity: info", "AC-RIGHT: severity asks for less"),
    "a test that may stop early": (
        '{accuracy: {holds_if: ">= 80 %"}}',
        '{accuracy: {holds_if: ">= 80 %", sequential: {error_rate: 0.4, spending: pocock, problems: 9, looks: [9]}}}',
        "the bar of accuracy is another, not a tighter one: >= 80 % before, >= 80 %, sequential (error 0.4",
    ),
    "a date from which it blocks": (
        "severity: block",
        'severity: block\n    effective_on: "2030-01-01"',
        "AC-RIGHT: effective_on asks for less: always before, 2030-01-01 now",
    ),
    "a higher severity": ("severity: warn", "severity: block", None),
    "a falsifier gone": (
        '      - {id: F-STEADY, uses: steadiness, thresholds: {steadiness: {holds_if: ">= 1 x"}}}\n',
        "",
        "AC-FAST, F-STEADY: falsifier asks for less: steadiness before, gone now",
    ),
    "an excuse": (
        "    phase: 1\n",
        "    phase: 1\n    not_applicable_when: {release: other}\n",
        "AC-RIGHT: not_applicable_when asks for less",
    ),
    "other words": ("Most answers", "Many answers", None),
    "another parameter": ("uses: size,", "uses: size, with: {most: 7},", None),
    "a new version alone": ("version: 1", "version: 2", None),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_specification(make_predicate: MakePredicate, spec_text: str, name: str) -> None:
    """An edit that asks for less is a regression with its two texts, even where every outcome stays; no other is."""
    old, new, sentence = EDITS[name]
    assert old in spec_text
    edited = spec_text.replace(old, new, 1)
    found = compare(make_predicate(), make_predicate(spec=edited))
    rules = [each for each in found.regressions if "went from" not in each]
    assert len(rules) == (sentence is not None), found.regressions
    assert sentence is None or sentence in rules[0]
    (spec,) = found.specs
    assert spec.old_sha256 != spec.new_sha256
    back = compare(make_predicate(spec=edited), make_predicate())
    assert name not in ("a tighter bar", "a higher severity", "a bar more") or len(back.regressions) >= 1


def test_a_planned_falsifier_asks_for_less(make_predicate: MakePredicate, spec_text: str) -> None:
    """What ran and is now only planned is a regression of its terms, beside that of its outcome."""
    planned = spec_text.replace('uses: speed, thresholds: {speed: {holds_if: ">= 10 tokens/s"}}', 'planned: "later"')
    found = compare(make_predicate(), make_predicate(spec=planned))
    assert any(
        "F-FAST: falsifier asks for less: speed before, planned: later now" in each for each in found.regressions
    )


def test_a_criterion_gone_is_a_regression_at_every_severity(make_predicate: MakePredicate, spec_text: str) -> None:
    """Also what was only shown: nobody can see it any more. The other way round it is new, and no regression."""
    shorter = spec_text[: spec_text.index("  - id: AC-SIZE")]
    found = compare(make_predicate(), make_predicate(spec=shorter))
    assert found.regressions == ("AC-SIZE (info), formerly corroborated, is gone",)
    back = compare(make_predicate(spec=shorter), make_predicate())
    assert [each.state for each in back.criteria] == ["unchanged", "unchanged", "added"]
    assert back.regressions == ()


@pytest.mark.parametrize(
    ("old", "new", "criterion", "state", "regressions"),
    [
        ({}, {"accuracy": 20.0}, "AC-RIGHT", "regressed", 2),
        ({"accuracy": 20.0}, {}, "AC-RIGHT", "fixed", 0),
        ({"accuracy": 20.0}, {"accuracy": 30.0}, "AC-RIGHT", "still failing", 0),
        ({"accuracy": 80.5}, {"accuracy": 20.0}, "AC-RIGHT", "regressed", 1),
        ({"accuracy": 20.0}, {"accuracy": 80.5}, "AC-RIGHT", "still failing", 0),
        ({"accuracy": 80.5}, {"accuracy": None}, "AC-RIGHT", "regressed", 1),
        ({}, {"speed": 1.0}, "AC-FAST", "regressed", 2),
        ({}, {"rows": 1.0}, "AC-SIZE", "regressed", 0),
        ({}, {"speed": None}, "AC-FAST", "regressed", 2),
    ],
)
def test_outcomes(
    make_predicate: MakePredicate,
    old: dict[str, float],
    new: dict[str, float],
    criterion: str,
    state: str,
    regressions: int,
) -> None:
    """Each transition has its name; what got worse counts, with the ruling, unless it is only shown."""
    found = compare(make_predicate(values=old), make_predicate(values=new))
    assert {each.criterion: each.state for each in found.criteria}[criterion] == state
    assert len(found.regressions) == regressions, found.regressions


def test_uncovered_is_worse_than_not_run(make_predicate: MakePredicate, spec_text: str) -> None:
    """A criterion that lost its only falsifier regressed, even where that had not run before."""
    start = spec_text.index("falsifiers:", spec_text.index("AC-SIZE"))
    bare = make_predicate(spec=spec_text[:start] + "falsifiers: []\n")
    found = compare(make_predicate(values={"rows": None}), bare)
    assert (found.criteria[-1].old, found.criteria[-1].new, found.criteria[-1].state) == (
        "not run",
        "uncovered",
        "regressed",
    )


def test_metrics_carry_delta_interval_and_bar(make_predicate: MakePredicate) -> None:
    """A measurement on both sides gives new minus old, both intervals and the bar; one that is gone gives no delta."""
    found = compare(make_predicate(), make_predicate(values={"accuracy": 90.0, "rows": None}))
    accuracy = next(each for each in found.metrics if each.measurement == "accuracy")
    assert (accuracy.delta, accuracy.bar) == (-5.0, ">= 80 %")
    assert accuracy.old is not None
    assert accuracy.old.interval is not None
    rows = next(each for each in found.metrics if each.measurement == "rows")
    assert (rows.new, rows.delta) == (None, None)


def test_waivers_come_run_out_and_go(make_predicate: MakePredicate, make_waiver: Callable[..., Waiver]) -> None:
    """A waiver is new, removed or expired by the time of the newer verdict; one that stays, or had expired before, is
    not listed."""
    short, stays = make_waiver("AC-A", expires_at="2026-06-15T00:00:00Z"), make_waiver("AC-B")
    gone, old = make_waiver("AC-C"), make_waiver("AC-D", expires_at="2026-01-01T00:00:00Z")
    fresh, dead = make_waiver("AC-E"), make_waiver("AC-F", expires_at="2026-02-30T00:00:00Z")
    before = make_predicate(waivers=[short, stays, gone, old])
    after = make_predicate(waivers=[short, stays, old, fresh, dead], at="2026-06-20T00:00:00Z")
    states = {each.criterion: each.state for each in compare(before, after).waivers}
    assert states == {"AC-A": "expired", "AC-C": "removed", "AC-E": "new", "AC-F": "expired"}


def test_what_it_was_made_with(make_predicate: MakePredicate) -> None:
    """Changed evidence and libraries are listed by name, and are no regression by themselves."""
    found = compare(make_predicate(), make_predicate(answers="b" * 64, versions={"numpy": "2.1", "scipy": "1"}))
    assert [(each.name, each.old, each.new) for each in found.evidence] == [("answers/a.jsonl", "a" * 64, "b" * 64)]
    names = {each.name: (each.old, each.new) for each in found.environment}
    assert names == {"version of numpy": ("2.0", "2.1"), "version of scipy": (None, "1")}
    assert found.regressions == ()


def test_every_rendering_says_what_regressed(make_predicate: MakePredicate, spec_text: str) -> None:
    """Terminal, Markdown and JSON carry each regression; the three are the same every time."""
    worse = make_predicate(spec=spec_text.replace(">= 80 %", ">= 70 %"), values={"accuracy": 20.0})
    found = compare(make_predicate(), worse)
    console = Console(record=True, width=200, file=io.StringIO())
    diff_terminal(found, console)
    terminal = console.export_text()
    assert json.loads(diff_json(found))["regressions"] == list(found.regressions)
    for text in (terminal, diff_markdown(found).replace("&gt;", ">").replace("\\", "")):
        assert [each for each in found.regressions if each not in text] == []
        assert "GO -> NO-GO: 3 regressions" in text
    assert diff_markdown(found) == diff_markdown(compare(make_predicate(), worse))


def test_markdown_of_a_huge_difference_fits(make_predicate: MakePredicate) -> None:
    """Thousands of changed versions with hostile names: within the limit, verdict and regressions kept, cut named."""
    many = {f"package-{number} | @all `#1` \U0001f600": "1" for number in range(5000)}
    found = compare(make_predicate(), make_predicate(values={"accuracy": 20.0}, versions=many))
    text = diff_markdown(found)
    assert len(text) <= MARKDOWN_LIMIT
    assert "AC-RIGHT (block) went from corroborated to falsified" in text
    assert "@all" not in text
    assert "more rows" in text or "Left out" in text


@pytest.mark.slow
def test_the_command_verifies_both_first(make_run: Callable[..., RunFolder], cli: Cli, tmp_path: Path) -> None:
    """`refute diff` ends in 0 without a regression, in 1 with one, in 4 where either is not signed by a given key."""
    keys = [generate_key(tmp_path / "keys", name) for name in ("ann", "bob")]
    runs = [
        judge_run(make_run(right=right), Operator(load_private_key(pair.private), development=False)).path
        for right, pair in zip((95, 50), keys, strict=True)
    ]
    both = ("--key", keys[0].public, "--key", keys[1].public)
    assert cli("diff", runs[0], runs[0], *both).returncode == 0
    worse = cli("diff", *runs, *both, "--json")
    shown = json.loads(worse.stdout)
    assert (worse.returncode, shown["old"]["ruling"], shown["new"]["ruling"]) == (1, "GO", "NO-GO")
    assert cli("diff", *reversed(runs), *both).returncode == 0
    assert cli("diff", *runs, *both, "--format", "md").stdout.startswith("# GO -")
    for trusted in keys:
        refused = cli("diff", *runs, "--key", trusted.public)
        assert (refused.returncode, refused.stdout) == (4, "")
