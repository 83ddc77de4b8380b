"""One use of a falsifier, one record: whatever goes wrong has an outcome with a name, and the judge agrees with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good
from refute.errors import ExperimentError, ExperimentTimeoutError, NonFiniteError
from refute.evidence.experiment import Configure, Experiment, Located, TakenFiles
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.store import Store
from refute.falsifier.records import record_from_json, record_to_json
from refute.falsifier.registry import Registry
from refute.falsifier.runner import Gate
from refute.judge.algebra import judge
from refute.outcome import Outcome, Record, RunClass
from refute.spec.criteria import parse_spec
from refute.spec.files import LoadedRelease, parse_release

SPEC = """\
spec: SPEC-A
version: 1
title: t
criteria:
  - id: AC-A
    title: t
    statement: s
    severity: block
    phase: 1
{criterion}
    falsifiers:
      - {use}
"""
USE = "{id: F-A, uses: NAME, timeout_s: 5, thresholds: {count: {holds_if: '<= 1 files'}}}"
RELEASE = "release: r\ntitle: t\nrun_class: embedded\nevidence: {corpus: a.json}\n"


def taking_in(place: Located) -> Configure:
    """The configuration of evidence that is the files at `place`."""
    return lambda at: TakenFiles(path=at(place))


def nothing(bench: Bench) -> None:
    """No files."""
    bench.put("corpus", "a.json", {"count": 0})


def many(bench: Bench) -> None:
    """Too many files."""
    bench.put("corpus", "a.json", {"count": 9})


CONTROLS = (known_good(nothing), known_bad(many))


def count_of(context: Context) -> Measurement:
    """The number in the file."""
    return Measurement("count", context.evidence("corpus").json("a.json")["count"], "files", n=1)


def is_real(context: Context) -> bool:
    """Controls of these tests count 0 or 9; the real evidence never does."""
    return context.evidence("corpus").json("a.json")["count"] not in (0, 9)


def registry() -> Registry:
    """Falsifiers that behave and others that do not."""

    def declare(name: str, measure: Callable[[Context], Iterable[Any]], **more: Any) -> None:
        arguments = {"needs": ("corpus",), "measures": {"count": "files"}, "controls": CONTROLS, **more}
        functions[name] = falsifier(name, **arguments)(measure)

    def honest(context: Context) -> Iterator[Measurement]:
        """Refuted by a count."""
        yield count_of(context)

    def raising(context: Context) -> Iterator[Measurement]:
        """Raises on the real evidence, with a message that is no text."""
        if is_real(context):
            raise ValueError("bad \udcff " + "x" * 10_000)
        yield count_of(context)

    def hanging(context: Context) -> Iterator[Measurement]:
        """Hangs on the real evidence."""
        if is_real(context):
            time.sleep(600)
        yield count_of(context)

    def blind(context: Context) -> Iterator[Measurement]:
        """Finds nothing, ever: it could not fail."""
        context.evidence("corpus").json("a.json")
        yield Measurement("count", 0, "files", n=1)

    def strict(context: Context) -> Iterator[Measurement]:
        """Refutes everything: it could not pass."""
        context.evidence("corpus").json("a.json")
        yield Measurement("count", 9, "files", n=1)

    def silent(context: Context) -> Iterable[Measurement]:
        """Measures nothing on the real evidence."""
        return [] if is_real(context) else [count_of(context)]

    def without_evidence(context: Context) -> Iterator[Measurement]:
        """Knows its numbers by heart."""
        yield Measurement("count", 0, "files", n=1)

    def scaled(context: Context) -> Iterator[Measurement]:
        """Multiplies by its parameter."""
        found = count_of(context)
        yield Measurement("count", found.value * int(context.parameters["factor"]), "files", n=1)

    functions: dict[str, object] = {}
    for function in (honest, raising, hanging, blind, strict, silent, without_evidence):
        declare(function.__name__.replace("_", "-"), function)
    declare("scaled", scaled, parameters={"factor": 1, "unused": "x"})
    found = Registry()
    found.add_from(functions)
    return found


@dataclass(frozen=True, slots=True)
class Attack:
    """A gate over one criterion with one falsifier, and what it recorded."""

    root: Path
    watcher: Watcher

    def __call__(self, name: str = "honest", *, count: object = 1, plan: Any = None, **text: str) -> Record:
        """The record of falsifier `name` where the evidence says `count`; checked to survive its file and the judge."""
        use, criterion = text.get("use", USE), text.get("criterion", "")
        spec = parse_spec(SPEC.format(use=use.replace("NAME", name), criterion=criterion), "s.yaml")
        release = parse_release(text.get("release", RELEASE), "r.yaml")
        (self.root / "a.json").write_text(f'{{"count": {count}}}', encoding="utf-8")
        path = self.root / "a.json"
        taken = Experiment("corpus", "c", None, taking_in(Located(lambda: str(count), lambda: path)))
        laboratory = Laboratory(plan or {"corpus": taken}, Store(self.root / "store"), self.watcher)
        log = self.root / text.get("log", "falsifiers.log")
        gate = Gate(LoadedRelease(release, path, "0" * 64, ""), registry(), laboratory, log)
        found = gate.run(spec, spec.criteria[0], spec.criteria[0].falsifiers[0])
        assert record_from_json(record_to_json(found)) == found
        verdict = judge(spec, [found], release=release) if "not_applicable_when: {n" not in criterion else None
        if verdict is not None:
            ruled = verdict.criteria[0].falsifiers[0]
            assert ruled.outcome is found.outcome, ruled.reason
            assert not any("refused" in reason for reason in verdict.reasons)
        return found


@pytest.fixture
def attack(tmp_path: Path, silence: Watcher) -> Attack:
    """attack(name, count=…) -> the record."""
    return Attack(tmp_path, silence)


@pytest.mark.parametrize(("count", "outcome"), [(1, Outcome.CORROBORATED), (2, Outcome.FALSIFIED)])
def test_an_honest_falsifier_gives_what_its_number_says(attack: Attack, count: int, outcome: Outcome) -> None:
    """Outcome, number with the file it is from, both controls, digests of evidence and code."""
    record = attack(count=count)
    assert (record.outcome, record.run_class, record.uses) == (outcome, RunClass.EMBEDDED, "honest")
    assert record.measurements[0].value == count
    assert len(record.measurements[0].evidence[0]) == len(record.evidence[0][1]) == len(record.code) == 64
    assert [(control.name, control.observed) for control in record.controls] == [
        ("nothing", Outcome.CORROBORATED),
        ("many", Outcome.FALSIFIED),
    ]


@pytest.mark.parametrize(
    ("name", "count", "outcome", "reason"),
    [
        ("raising", 1, Outcome.ERROR, "test_runner.py:86: ValueError: bad "),
        ("hanging", 1, Outcome.TIMEOUT, "gave no answer within 0.5 s"),
        ("silent", 1, Outcome.ERROR, "count was not measured"),
        ("blind", 1, Outcome.ERROR, "control 'many' must be falsified, but was corroborated"),
        ("strict", 1, Outcome.ERROR, "control 'nothing' must be corroborated, but was falsified"),
        ("without-evidence", 1, Outcome.ERROR, "control 'many' must be falsified"),
        ("honest", "null", Outcome.ERROR, "'count' = None, which is not a number"),
        ("honest", "NaN", Outcome.ERROR, "NaN, which is not finite"),
        ("honest", "", Outcome.ERROR, "corpus': a.json: is not JSON"),
        ("no-such-falsifier", 1, Outcome.ERROR, "no falsifier is called 'no-such-falsifier'"),
    ],
)
def test_each_way_to_go_wrong_has_an_outcome(
    attack: Attack, name: str, count: object, outcome: Outcome, reason: str
) -> None:
    """The falsifier's own faults, and what a falsifier that cannot fail or cannot pass is worth."""
    record = attack(name, count=count, use=USE.replace("timeout_s: 5", "timeout_s: 0.5"))
    assert (record.outcome, reason in record.reason) == (outcome, True), record.reason


def test_a_misbehaving_control_outweighs_what_was_found(attack: Attack) -> None:
    """The real evidence is bad, and a falsifier that says so of everything has not shown it."""
    record = attack("strict", count=100)
    assert record.outcome is Outcome.ERROR
    assert record.measurements, "the number is kept, and does not count"


def test_a_reason_fits_into_a_record(attack: Attack) -> None:
    """A message of ten thousand characters and bytes that are no text: short, and UTF-8."""
    reason = attack("raising").reason
    assert len(reason) < 4100
    assert "\\udcff" in reason
    assert reason.endswith(" …")


@pytest.mark.slow
def test_parameters_of_the_use_replace_defaults(attack: Attack) -> None:
    """Others keep theirs; controls are shown the same."""
    assert attack("scaled").measurements[0].value == 1
    use = USE.replace("uses: NAME", "uses: NAME, with: {factor: 5}")
    assert attack("scaled", use=use).measurements[0].value == 5
    blinded = attack("scaled", use=USE.replace("uses: NAME", "uses: NAME, with: {factor: 0}"))
    assert blinded.outcome is Outcome.ERROR, "a parameter that blinds the falsifier is found by its known-bad control"


@pytest.mark.slow
def test_a_run_that_is_too_small_measures_and_discharges_nothing(attack: Attack) -> None:
    """The number is recorded; the outcome is not run."""
    record = attack(criterion="    requires_run_class: full")
    assert record.outcome is Outcome.NOT_RUN
    assert "needs a run of class full, this one is embedded; it measured: count = 1 files" in record.reason
    assert attack(count=2, criterion="    requires_run_class: full").outcome is Outcome.FALSIFIED


def test_an_excused_release_costs_nothing(attack: Attack) -> None:
    """The spec's condition is the reason; neither evidence nor falsifier is touched."""
    record = attack(plan={"nothing": None}, criterion="    not_applicable_when: {run_class: embedded}")
    assert (record.outcome, record.controls) == (Outcome.NOT_APPLICABLE, ())
    assert "run_class is 'embedded'" in record.reason


def test_a_condition_that_no_release_can_meet_is_an_error(attack: Attack) -> None:
    """Past the linter, it still excuses nothing."""
    record = attack(criterion="    not_applicable_when: {no.such.key: 1}")
    assert record.outcome is Outcome.ERROR
    assert "a release has no such key" in record.reason


def test_a_planned_falsifier_is_not_run(attack: Attack) -> None:
    """With the reason that the spec gives."""
    record = attack(use="{id: F-A, planned: not built yet}")
    assert (record.outcome, record.reason, record.uses) == (Outcome.NOT_RUN, "not built yet", "")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ExperimentTimeoutError("stopped at its limit"), Outcome.TIMEOUT),
        (ExperimentError("failed"), Outcome.ERROR),
        (NonFiniteError("loss is nan"), Outcome.ERROR),
        (PermissionError(13, "Permission denied", "a.json"), Outcome.ERROR),
        (AttributeError("'NoneType' object has no attribute 'flush'"), Outcome.ERROR),
    ],
)
def test_evidence_that_cannot_be_had_is_an_outcome(attack: Attack, error: Exception, outcome: Outcome) -> None:
    """A time limit is told from a failure; both say what happened, and the falsifier is not called."""

    def fail() -> str:
        raise error

    plan = {"corpus": Experiment("corpus", "c", None, taking_in(Located(fail, Path)))}
    record = attack(plan=plan)
    assert (record.outcome, record.controls, record.evidence) == (outcome, (), ())
    assert str(error) in record.reason


def test_evidence_that_nothing_provides_is_an_error(attack: Attack) -> None:
    """The reason lists what there is."""
    record = attack(plan={"other": Experiment("other", "o", None, taking_in(Located(str, Path)))})
    assert record.outcome is Outcome.ERROR
    assert "provides no evidence 'corpus'; it provides: other" in record.reason


def test_a_log_that_cannot_be_written_is_an_error(attack: Attack) -> None:
    """And one record, not a second run of everything in the child."""
    record = attack(log="gone/falsifiers.log")
    assert record.outcome is Outcome.ERROR
    assert "before it answered" in record.reason


def test_ctrl_c_is_no_outcome(attack: Attack) -> None:
    """It passes through, so that the run can be stopped."""

    def interrupt() -> str:
        raise KeyboardInterrupt

    plan = {"corpus": Experiment("corpus", "c", None, taking_in(Located(interrupt, Path)))}
    with pytest.raises(KeyboardInterrupt):
        attack(plan=plan)


def test_a_machine_without_room_for_a_bench_is_an_outcome(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """No temporary folder: an error of this falsifier, and the run goes on."""
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    record = attack()
    assert record.outcome is Outcome.ERROR
    assert "/no/such/folder" in record.reason
