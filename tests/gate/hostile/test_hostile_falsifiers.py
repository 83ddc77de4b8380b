"""Falsifiers that do everything wrong: each comes to its own named outcome, and the others still run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Ended, Repo

pytestmark = pytest.mark.exhaustive

# The controls see honest code, so that what is tested happens on the real evidence alone.
FALSIFIERS = '''
import os, signal, sys, time
from pathlib import Path

import pytest
from refute import Interval, Measurement, falsifier, known_bad, known_good


def good(bench):
    bench.put("answers", "a.txt", "1")
    bench.put("victim", "a.txt", "1")


def bad(bench):
    bench.put("answers", "a.txt", "0")
    bench.put("victim", "a.txt", "0")


def point(value=1, unit="points", name="value", **rest):
    return Measurement(name, value, unit, n=1, **rest)


def declare(behave):
    need = "victim" if behave.__name__ == "writes" else "answers"

    @falsifier(behave.__name__, needs=(need,), measures={"value": "points"},
               controls=(known_good(good), known_bad(bad)))
    def measure(context):
        """Refuted when the value is not 1."""
        evidence = context.evidence(need)
        if evidence.digest.startswith("control:"):
            return [point(int(evidence.path("a.txt").read_text()))]
        evidence.path(sorted(evidence.files)[0])
        return behave(evidence)

    return measure


BEHAVIOURS


@falsifier("careless", needs=("answers",), measures={"value": "points"}, controls=(known_good(good), known_bad(bad)))
def careless(context):
    """Never refuted: it does not look."""
    return [point()]
'''

# name: (what it does, outcome, part of the reason)
BEHAVIOURS = {
    "honest": ("return [point()]", "corroborated", ""),
    "raises": ("raise RuntimeError('on purpose')", "error", ": RuntimeError: on purpose"),
    "hangs": ("time.sleep(600)", "timeout", "gave no answer within 1.5 s"),
    "stops": ("os.kill(os.getpid(), signal.SIGSTOP)", "timeout", "gave no answer within 1.5 s"),
    "nan": ("return [point(float('nan'))]", "error", "not finite"),
    "infinite": ("return [point(interval=Interval(0.0, float('inf'), 0.95, 'x'))]", "error", "not finite"),
    "nothing": ("return None", "error", "value was not measured"),
    "bool": ("return True", "error", "TypeError"),
    "boolean": ("return [point(True)]", "error", "not a number"),
    "twice": ("yield from [point(), point()]", "error", "twice"),
    "stranger": ("return [point(name='other')]", "error", "does not declare"),
    "percent": ("return [point(unit='%')]", "error", "declares 'points'"),
    "exits": ("os._exit(0)", "error", "ended with exit status 0 before it answered"),
    "leaves": ("sys.exit(0)", "error", ": SystemExit"),
    "skips": ("pytest.skip('not today')", "error", ": Skipped: not today"),
    "interrupts": ("raise KeyboardInterrupt", "error", ": KeyboardInterrupt"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "error", "ended with signal 9"),
    "closes": ("os.closerange(3, 256)\nreturn [point()]", "error", "before it answered"),
    "reads": ("input()", "error", "EOFError"),
    "prints": ("print('loud' * 1_000_000)\nreturn [point()]", "corroborated", ""),
    "forks": (
        "if os.fork() == 0:\n    Path('left.pid').write_text(str(os.getpid()))\n    time.sleep(600)\n"
        "while not Path('left.pid').exists():\n    time.sleep(0.01)\nreturn [point()]",
        "corroborated",
        "",
    ),
    "mutates": (
        "import refute, json\nrefute.stats.wilson_interval = json.loads = Measurement.__init__ = None\n"
        "os.environ['REFUTE_KEYS'] = '/nowhere'\nos.chdir('/')\nsys.path.clear()\nraise ValueError('all is broken')",
        "error",
        "all is broken",
    ),
    "writes": (
        "path = evidence.path('victim.txt')\npath.chmod(0o600)\npath.write_text('changed')\nreturn [point()]",
        "corroborated",
        "",
    ),
    "careless": ("", "error", "control 'bad' must be falsified, but was corroborated"),
}
USE = """
  - {{id: AC-{upper}, title: t, statement: s, severity: block, phase: 1, falsifiers: [{{id: F-{upper},
     uses: {name}, timeout_s: {timeout}, thresholds: {{value: {{holds_if: "== 1 points"}}}}}}]}}"""
LOOSE = """
  - {id: AC-LOOSE, title: t, statement: s, severity: info, phase: 1, falsifiers: [{id: F-LOOSE, uses: honest,
     thresholds: {value: {holds_if: ">= 0 points"}}}]}"""


@dataclass(frozen=True, slots=True)
class Zoo:
    """One gate run over all of them."""

    repo: Repo
    ended: Ended
    records: dict[str, dict[str, Any]]
    rulings: dict[str, tuple[str, str]]
    reasons: str


@pytest.fixture(scope="module")
def zoo(new_repo: Callable[[], Repo]) -> Zoo:
    """The hostile ones first, then the example's two honest falsifiers."""
    repo = new_repo()
    code = "\n\n".join(
        f"@declare\ndef {name}(evidence):\n{indent(body, '    ')}" for name, (body, _, _) in BEHAVIOURS.items() if body
    )
    repo.write("falsifiers/hostile.py", FALSIFIERS.replace("BEHAVIOURS", code))
    uses = "".join(
        USE.format(
            name=name,
            upper=name.upper(),
            timeout=1.5 if outcome == "timeout" else 30,
        )
        for name, (_, outcome, _) in BEHAVIOURS.items()
    )
    repo.edit("specs/example.yaml", "criteria:\n", f"criteria:{uses}{LOOSE}\n")
    repo.write("evidence/victim.txt", "untouched")
    repo.edit("specs/releases/example.yaml", "evidence:\n", "evidence:\n  victim: ../../evidence/victim.txt\n")
    ended = repo.gate("-q")
    (predicate,) = repo.predicates()
    rulings = {
        each.falsifier: (str(each.outcome), each.reason)
        for criterion in predicate.verdict.criteria
        for each in criterion.falsifiers
    }
    return Zoo(repo, ended, repo.records(), rulings, "\n".join(predicate.verdict.reasons))


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_it_comes_to_its_named_outcome(zoo: Zoo, name: str) -> None:
    """Whatever the falsifier does, its record has the outcome that says so, with the reason."""
    _, outcome, reason = BEHAVIOURS[name]
    record = zoo.records[f"F-{name.upper()}"]
    assert (record["outcome"], reason in record["reason"]) == (outcome, True), record["reason"]


def test_the_run_ends_in_a_signed_no_go(zoo: Zoo) -> None:
    """pytest fails, and what was signed is NO-GO over all of them: the run was not cut short."""
    assert zoo.ended.returncode == 1, zoo.ended.stdout
    assert zoo.repo.rulings() == ["NO-GO"]
    assert len(zoo.records) == len(BEHAVIOURS) + 3


def test_the_honest_ones_still_run(zoo: Zoo) -> None:
    """Falsifiers after the hostile ones are corroborated: nothing that those changed reaches them."""
    assert zoo.rulings["F-EXAMPLE-001"][0] == "corroborated"
    assert zoo.rulings["F-EXAMPLE-002"][0] == "corroborated"


def test_a_loosened_bar_is_caught_by_the_control(zoo: Zoo) -> None:
    """A bar so low that a known-bad control, which does not move with it, clears it: an error, and NO-GO even in an
    `info` criterion."""
    outcome, reason = zoo.rulings["F-LOOSE"]
    assert outcome == "error"
    assert "control 'bad' must be falsified, but was corroborated" in reason
    assert "2 of 55 controls misbehaved" in zoo.reasons


def test_changed_evidence_discredits_what_rests_on_it(zoo: Zoo) -> None:
    """A falsifier that rewrote its evidence is refused by the judge, with the file; the user's file is untouched."""
    outcome, reason = zoo.rulings["F-WRITES"]
    assert outcome == "error"
    assert "evidence victim/victim.txt should have SHA-256" in reason
    assert (zoo.repo.path / "evidence/victim.txt").read_text(encoding="utf-8") == "untouched"


def test_output_goes_to_the_log(zoo: Zoo) -> None:
    """What falsifiers print fills falsifiers.log and not the console."""
    assert "loudloud" not in zoo.ended.stdout
    assert "loudloud" in (zoo.repo.run / "falsifiers.log").read_text(encoding="utf-8")


def test_processes_left_behind_are_killed(zoo: Zoo) -> None:
    """A process that a falsifier forked does not outlive its answer."""
    assert not zoo.repo.is_alive("left.pid")
