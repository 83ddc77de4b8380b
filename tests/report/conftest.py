"""A realistic NO-GO predicate of the embedded release, with hostile text wherever text comes from outside."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import pytest

from refute.attest import ModelManifest, Resource
from refute.judge.predicate.coverage import cover
from refute.judge.predicate.exhibits import CompletionExcerpt, Curve, Exhibits, Fact, Grid, Prompt, Section
from refute.judge.predicate.identity import Identity
from refute.judge.predicate.model import Predicate
from refute.judge.run.facts import RunFacts, Signer
from refute.judge.subject import Subject, model_facts
from refute.judge.verdict import CriterionRuling, FalsifierRuling, Verdict
from refute.outcome import ControlResult, Interval, Measurement, Outcome, Record, Ruling, RunClass, Severity
from refute.spec.texts import ReleaseText, SpecText

HOSTILE = (
    "</script><img src=x onerror=alert(1)> | ``` {{7*7}} {% raw %} \x1b[31mred\x1b[0m \u202eltr "
    "[click](javascript:alert(1)) ![x](http://evil.example/p.png) http://evil.example www.evil.example "
    "@octocat #123 <!-- --> &lt;b&gt; </title><style>*{display:none}</style>\n\n# GO: all is well\n\n```\n|a|b|\n"
)
SPEC = "SPEC-DISTILL-001"
PAYLOAD = hashlib.sha256(b"payload").hexdigest()


# What each falsifier must measure; a planned one has no bar.
BARS = {
    "F-DISTILL-TEACHER-001": ["max_abs_diff: {holds_if: '<= 1e-3 logit'}"],
    "F-DISTILL-SMOKE-001": [
        "heldout_ce_change: {holds_if: '<= -0.05 nat/token'}",
        "steps_completed: {holds_if: '>= 500 step'}",
    ],
    "F-DISTILL-V2-001": ["heldout_ce: {holds_if: '< 3 nat/token'}"],
    "F-HUMANEVAL-V2-001": ["pass_at_1: {holds_if: '>= 15 %'}"],
    "F-DISTILL-PUBLISH-001": [],
    "F-DISTILL-BEATS-INIT-001": ["mcnemar_p: {holds_if: '<= 0.05 p', inconclusive_if: '> 0.05 p'}"],
    "F-DISTILL-BEATS-CE-001": ["ce_advantage: {holds_if: '> 0 nat/token'}"],
    "F-HUMANEVAL-V2-002": ["pass_at_1: {holds_if: '>= 25 %'}"],
    "F-DISTILL-GIBBERISH-001": ["gibberish: {holds_if: '<= 10 %'}"],
    "F-DISTILL-V2-003": ["heldout_ce: {holds_if: '< 2.2 nat/token'}"],
}


def _spec_text(rulings: tuple[CriterionRuling, ...]) -> str:
    lines = [f"spec: {SPEC}", "version: 1", "title: A small model", "criteria:"]
    for ruling in rulings:
        falsifier = ruling.falsifiers[0].falsifier
        bars = ", ".join(BARS[falsifier])
        attack = f"uses: x, thresholds: {{{bars}}}" if bars else "planned: not built"
        lines += [
            f"  - {{id: {ruling.criterion}, title: t, statement: s, severity: {ruling.severity},",
            f"     phase: {ruling.phase}, falsifiers: [{{id: {falsifier}, {attack}}}]}}",
        ]
    return "\n".join(lines) + "\n"


def digest_of(text: str) -> str:
    """A SHA-256 that differs for each text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _controls(measured: tuple[Measurement, ...], *behaved: bool) -> tuple[ControlResult, ...]:
    expected = (Outcome.CORROBORATED, Outcome.FALSIFIED)
    return tuple(
        ControlResult(
            f"{'known good' if index % 2 == 0 else 'known bad'} {index + 1}",
            expected[index % 2],
            expected[index % 2] if good else Outcome.CORROBORATED,
            "max_abs_diff = 0 logit satisfies <= 0.001 logit" if not good else "as it must be",
            tuple(replace(each, value=each.value * (1 + index % 2), interval=None) for each in measured),
        )
        for index, good in enumerate(behaved)
    )


def _case(
    number: int,
    title: str,
    severity: Severity,
    outcome: Outcome,
    falsifier: str,
    reason: str,
    measurements: tuple[Measurement, ...] = (),
    behaved: tuple[bool, ...] = (True, True),
) -> tuple[CriterionRuling, tuple[Record, ...]]:
    criterion = f"AC-DISTILL-{number:03d}"
    ruling = CriterionRuling(
        SPEC,
        criterion,
        title,
        severity,
        1 + number // 3,
        outcome,
        False,
        (FalsifierRuling(falsifier, outcome, reason),),
    )
    record = Record(
        SPEC,
        criterion,
        falsifier,
        falsifier.lower().removeprefix("f-"),
        outcome,
        reason,
        RunClass.EMBEDDED,
        measurements,
        _controls(measurements, *behaved),
        (("distill", digest_of("distill")), ("humaneval-student", digest_of("humaneval-student"))),
        digest_of(falsifier),
    )
    return ruling, () if outcome is Outcome.NOT_RUN else (record,)


def _cases() -> list[tuple[CriterionRuling, tuple[Record, ...]]]:
    block, warn, info = Severity.BLOCK, Severity.WARN, Severity.INFO
    held, falsified = Outcome.CORROBORATED, Outcome.FALSIFIED
    interval = Interval(3.398, 3.4262, 0.95, "bootstrap")
    return [
        _case(1, "Teacher logits equal an independent forward pass", block, Outcome.ERROR, "F-DISTILL-TEACHER-001",
              "control 'known bad 2' must be falsified, but was corroborated (max_abs_diff = 0 logit satisfies "
              "<= 0.001 logit)", (Measurement("max_abs_diff", 0.000412, "logit", 3072),), (True, False)),
        _case(2, "A 500-step run lowers the held-out loss", block, held, "F-DISTILL-SMOKE-001",
              "heldout_ce_change = -0.412346 nat/token satisfies <= -0.05 nat/token",
              (Measurement("heldout_ce_change", -0.412345678901, "nat/token", 65536),
               Measurement("steps_completed", 500.0, "step", 1))),
        _case(3, "Held-out loss of the student is below 3.0 nat per token", block, falsified, "F-DISTILL-V2-001",
              "heldout_ce = 3.41207 nat/token [3.398, 3.4262] misses < 3 nat/token by 0.412071 nat/token",
              (Measurement("heldout_ce", 3.4120712345, "nat/token", 65536, interval, (digest_of("weights"),)),)),
        _case(4, "HumanEval pass@1 is at least 15 %", block, falsified, "F-HUMANEVAL-V2-001",
              "pass_at_1 = 1.82927 % [0.624, 5.25] misses >= 15 % by 13.1707 %",
              (Measurement("pass_at_1", 100 * 3 / 164, "%", 164, Interval(0.624, 5.25, 0.95, "wilson")),)),
        _case(5, "Published, and all three usage paths verified", block, Outcome.NOT_RUN, "F-DISTILL-PUBLISH-001",
              "planned: publishing is not built yet", (), ()),
        _case(6, "The student beats its own init on the same problems", block, Outcome.INCONCLUSIVE,
              "F-DISTILL-BEATS-INIT-001", "mcnemar_p = 0.25 p decides nothing, as declared for > 0.05 p",
              (Measurement("mcnemar_p", 0.25, "p", 164), Measurement("discordant_problems", 3.0, "problem", 164))),
        _case(7, "The student beats a CE-only control of equal budget", block, held, "F-DISTILL-BEATS-CE-001",
              "ce_advantage = 0.0821 nat/token satisfies > 0 nat/token",
              (Measurement("ce_advantage", 0.0821, "nat/token", 65536),)),
        _case(8, "HumanEval pass@1 is at least 25 %", warn, falsified, "F-HUMANEVAL-V2-002",
              "pass_at_1 = 1.82927 % misses >= 25 % by 23.1707 %",
              (Measurement("pass_at_1", 100 * 3 / 164, "%", 164),)),
        _case(9, "Answers are not gibberish", warn, Outcome.ERROR, "F-DISTILL-GIBBERISH-001",
              f"the falsifier raised ValueError: cannot score {HOSTILE}"),
        _case(10, "Held-out loss reaches the strict bar of 2.2", info, falsified, "F-DISTILL-V2-003",
              "heldout_ce = 3.41207 nat/token misses < 2.2 nat/token by 1.21207 nat/token",
              (Measurement("heldout_ce", 3.4120712345, "nat/token", 65536),)),
    ]  # fmt: skip


def _sections() -> tuple[Section, ...]:
    def absent(number: int, title: str, why: str) -> Section:
        return Section(number=number, title=title, state="not_run", note=why)

    return (
        absent(1, "Clean install, pull and inspect", "nothing was published, so there is nothing to pull"),
        Section(
            number=2,
            title="One prompt",
            state="measured",
            note="Greedy, 64 new tokens, seed 42.",
            facts=(
                Fact(label="prompt", value='def fibonacci(n):\n    """Return the n-th number."""'),
                Fact(label="seconds", value="3.1"),
            ),
            text="    if n < 2:\n        return n\n" + HOSTILE,
        ),
        absent(3, "Speed", "no bench experiment"),
        absent(4, "Export", "no export experiment"),
        absent(5, "Model QA", "no qa experiment"),
        absent(6, "Dogfood protocol", "no protocol evidence"),
        absent(7, "Independent consumer", "nobody but the operator has run this model"),
        Section(number=8, title="Verdict", state="measured", facts=(Fact(label="ruling", value="NO-GO"),)),
        absent(9, "Afterwards", "the release is not published"),
    )


def _curves() -> tuple[Curve, ...]:
    def falling(chart: str, name: str, unit: str, start: float, end: float, every: int) -> Curve:
        steps = tuple(range(0, 301, every))
        ripple = 0.03 if every < 10 else 0.0
        values = tuple(
            end + (start - end) * math.exp(-step / 70) + ripple * start * math.sin(step * 1.7) for step in steps
        )
        return Curve(chart=chart, name=name, unit=unit, steps=steps, values=values)

    return (
        falling("Held-out loss", "student", "nat/token", 6.82, 3.412, 25),
        falling("Held-out loss", "CE-only control", "nat/token", 6.82, 3.494, 25),
        falling("Training loss", "total", "nat/token", 41.0, 1.9, 2),
        falling("Training loss", "CE", "nat/token", 6.9, 3.3, 2),
        falling("Training loss", "KL", "nat/token", 3.6, 0.31, 2),
    )


def _answer(number: int) -> CompletionExcerpt:
    """Hostile, empty, cut and ordinary ones."""
    whole = (HOSTILE, "", "x = 1\n" * 20_000, "    return a + b\n")[number % 4]
    reason = "" if number % 4 == 3 else f"AssertionError at: assert candidate({number}) {HOSTILE[:60]}"
    shown = whole[:400]
    return CompletionExcerpt(completion=shown, completion_sha256=digest_of(whole), characters=len(whole), reason=reason)


def _prompts() -> tuple[Prompt, ...]:
    text = 'def add(a: int, b: int) -> int:\n    """Add a and b.\n    >>> add(2, 3)\n    5\n    """\n'
    return tuple(
        Prompt(
            problem=f"HumanEval/{number}",
            text=(HOSTILE if number == 1 else text),
            characters=len(text) + number,
            trained_ngrams={2: 0, 3: 12}.get(number),
        )
        for number in range(164)
    )


def _grids() -> tuple[Grid, ...]:
    problems = tuple(f"HumanEval/{number}" for number in range(164))

    def row(name: str, passed: set[int], timeouts: set[int], errors: set[int]) -> Grid:
        words = {**dict.fromkeys(passed, "passed"), **dict.fromkeys(timeouts, "timeout")}
        words |= dict.fromkeys(errors, "error")
        outcomes = tuple(words.get(number, "failed") for number in range(164))
        answers = tuple(_answer(number) for number in range(164))
        return Grid.model_validate({"name": name, "problems": problems, "outcomes": outcomes, "answers": answers})

    return (
        row("teacher", {7, 23, 27, 34, 53, 60, 124}, {39, 130}, set()),
        row("init", set(), {11, 39, 83}, {32}),
        row(HOSTILE[:40] + " student", {23, 34, 53}, {39}, set()),
    )


@pytest.fixture(scope="session")
def hostile() -> str:
    """Text that a model or a stranger's file may hold."""
    return HOSTILE


@pytest.fixture(scope="session")
def payload() -> str:
    """The hex digest that stands for the signed payload."""
    return PAYLOAD


@pytest.fixture(scope="session")
def predicate() -> Predicate:
    """An embedded run judged NO-GO: 10 criteria, one misbehaving control, curves, and a grid of 3 x 164."""
    return build_predicate()


def build_predicate() -> Predicate:
    """The sample, also for looking at."""
    cases = _cases()
    rulings = tuple(ruling for ruling, _ in cases)
    records = tuple(record for _, found in cases for record in found)
    controls = [control for record in records for control in record.controls]
    misbehaved = "1 of 18 controls misbehaved: their falsifiers prove nothing"
    reasons = tuple(
        f"{ruling.criterion} ({ruling.severity}) {ruling.outcome}: {each.falsifier}: {each.reason}"
        for ruling in rulings
        for each in ruling.falsifiers
        if ruling.severity is not Severity.INFO and ruling.outcome is not Outcome.CORROBORATED
    )
    verdict = Verdict(
        Ruling.NO_GO,
        (misbehaved, *reasons),
        rulings,
        sum(control.behaved for control in controls),
        len(controls),
        False,
    )
    return Predicate(
        verdict=verdict,
        identity=Identity(verdict_id="embedded/7/a-run", sequence=7, valid_until="2026-05-30T10:31:12Z"),
        coverage=cover((), records, verdict, registered=(), deselected=()),
        model=model_facts(ModelManifest((Resource("model.safetensors", digest_of("weights")),))),
        subject=Subject(
            kind="model_folder",
            name="student",
            sha256=digest_of("student"),
            manifest_sha256=digest_of("manifest"),
        ),
        release=ReleaseText(
            id="embedded",
            title="SmolLM2-135M-Instruct distilled into a depth-pruned copy of itself",
            run_class=RunClass.EMBEDDED,
            operator="unnamed",
            name="specs/releases/embedded.yaml",
            sha256=digest_of("release"),
            text="release: embedded\n",
        ),
        specs=(SpecText(id=SPEC, name="specs/distill-001.yaml", sha256=digest_of("spec"), text=_spec_text(rulings)),),
        records=records,
        evidence={
            "distill": {"steps.jsonl": digest_of("steps"), "model/model.safetensors": digest_of("weights")},
            "humaneval-student": {"results.jsonl": digest_of("results")},
        },
        run=RunFacts(
            id="20260301T101500Z-4f2a",
            started_at="2026-03-01T10:15:00Z",
            argv=("pytest", "--falsifiers", "--release", "specs/releases/embedded.yaml"),
            pytest_environment={},
            plugins={"pytest-xdist": "3.8.0"},
            python="3.11.9",
            platform="Linux x86_64",
            cpus=2,
            versions={"torch": "2.13.0", "transformers": "5.1.0"},
        ),
        signer=Signer(key_id=digest_of("key"), development=True),
        evaluated_at="2026-03-01T10:31:12Z",
        verifier="refute judge",
        verifier_version="0.1.0",
        exhibits=Exhibits(sections=_sections(), curves=_curves(), grids=_grids(), prompts=_prompts()),
    )
