"""The fire drill itself: a small world, its honest line, and faults that falsifiers name."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.check.drill.experiment import drill_experiment
from refute.check.drill.fate import Watch
from refute.evidence.key import key_of
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.store import Store
from refute.falsifier.context import Evidence
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry
from refute.outcome import RunClass
from refute.spec.criteria import FalsifierUse, load_spec, uses_of
from refute.spec.experiments.evidence_files import DRILL, DRILL_SUMMARY, PLANTED_FAULTS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in falsifiers."""
    return load_registry([])


def shipped_uses() -> list[FalsifierUse]:
    """Those of the specification, as it ships."""
    return [use for use in uses_of([load_spec(ROOT / "specs" / "distill-001.yaml").spec]) if use.uses]


@pytest.mark.slow
def test_each_run_has_a_drill_of_its_own(registry: Registry) -> None:
    """Nobody keeps one that went well, and each plan has one: its key does not change while a run asks for it."""
    first, second = (drill_experiment(shipped_uses(), registry, [], RunClass.EMBEDDED) for _ in range(2))
    assert key_of(first, {}) == key_of(first, {}) != key_of(second, {})


def test_an_exception_that_nobody_foresaw_names_nothing(tmp_path: Path, registry: Registry) -> None:
    """A falsifier that stumbles over a fault has not said what it is; one that refuses by a type it declares has."""
    (use,) = [use for use in shipped_uses() if use.id == "F-DISTILL-DISTANCE-001"]
    watch = Watch(use, registry[use.uses or ""])
    windows, others = '{"window": 0, "kl": 1, "ce": 1}\n', '{"window": 1, "kl": 1, "ce": 1}\n'
    (tmp_path / "heldout.jsonl").write_text(windows, encoding="utf-8")
    redo = Evidence("student_redo", "", tmp_path, {"heldout.jsonl": ""})
    seen = []
    for text in (others, windows):
        (tmp_path / "heldout_windows.jsonl").write_text(text, encoding="utf-8")
        run = Evidence("student", "", tmp_path, {"heldout_windows.jsonl": ""})
        seen.append(watch.look({"student": run, "student_redo": redo}))
    assert all(look.refuses for look in seen)
    assert ["had to score" in seen[0].reason, "KeyError" in seen[1].reason] == [True, True]
    assert [look.silent for look in seen] == [False, True]


@pytest.mark.exhaustive
def test_a_short_drill(registry: Registry, tmp_path: Path, silence: Watcher) -> None:
    """Four faults that count, from four places, named by somebody who lets the honest line stand.

    It trains a dozen small models, which takes half a minute. Which faults are drawn is new each time, and of all that
    there are some survive: that most of four do is what a drill that plants nothing would show, and chance would not.
    """
    experiment = drill_experiment(shipped_uses(), registry, [], RunClass.QUICK)
    found = Laboratory({DRILL: experiment}, Store(tmp_path / "store"), silence).obtain(DRILL)
    rows, summary = PLANTED_FAULTS.read(found.folder, DRILL), DRILL_SUMMARY.read(found.folder, DRILL)
    assert {"F-DISTILL-REDO-001", "F-EVAL-REPLAY-STUDENT", "F-DISTILL-CORPUS-002"} <= set(summary.on_guard)
    # How good the student is says nothing about faults, nor does what no small world can have.
    assert {"F-HUMANEVAL-V2-001", "F-DISTILL-V2-001", "F-GATE-DRILL-001"} <= set(summary.off_guard)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert len({row.place for row in rows}) == len(rows)
    assert sum(row.outcome in ("named", "unable", "survived") for row in rows) == 4
    assert {row.named_by for row in rows if row.outcome == "named"} <= set(summary.on_guard)
    assert sum(row.outcome == "named" for row in rows) >= 2
