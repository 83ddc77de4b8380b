"""The experiment that breaks the falsifiers in use: what it writes, and what its key depends on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from refute.check.controls.experiment import mutation_experiment
from refute.errors import ExperimentError, UsageError
from refute.evidence.experiment import Experiment
from refute.evidence.key import key_of
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.plan import plan_release
from refute.evidence.store import Store
from refute.falsifier.loading import load_registry
from refute.spec.criteria import parse_spec, uses_of
from refute.spec.experiments.evidence_files import KILL_MATRIX
from refute.spec.files import parse_release

pytestmark = pytest.mark.slow

FALSIFIER = '''
from refute import Measurement, falsifier, known_bad, known_good

def good(bench):
    """Nine of ten."""
    bench.put("answers", "a.json", {"right": 9, "all": 10})

def bad(bench):
    """One of ten."""
    bench.put("answers", "a.json", {"right": 1, "all": 10})

def tampered(bench):
    """What the run has."""
    bench.put("answers", "a.json", bench.real["answers"].json("a.json"))

@falsifier("own-share", needs=("answers",), measures={"share": "%"},
           controls=(known_good(good), known_bad(bad), known_good(tampered)))
def own_share(context):
    """Refuted when few are right."""
    found = context.evidence("answers").json("a.json")
    if found["all"] < 5:
        raise ValueError("too few were asked")
    yield Measurement("share", 100 * found["right"] / found["all"], "%", n=1)
'''
SPEC = """\
spec: SPEC-SHARE-001
version: 1
title: Share
criteria:
  - id: AC-SHARE-001
    title: Most
    statement: Most are right.
    severity: block
    phase: 1
    falsifiers:
      - {id: F-SHARE-001, uses: own-share, title: TITLE, thresholds: {share: {holds_if: ">= BAR %"}}}
      - {id: F-SHARE-002, planned: later}
"""


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder of falsifiers and a spec over it."""

    root: Path
    watcher: Watcher

    def experiment(self, folder: str = "falsifiers", *, title: str = "t", bar: int = 50) -> Experiment:
        """The experiment as the gate plans it."""
        spec = parse_spec(SPEC.replace("TITLE", title).replace("BAR", str(bar)), "s.yaml")
        folders = [self.root / folder]
        return mutation_experiment(uses_of([spec]), load_registry(folders), folders)

    def write(self, folder: str = "falsifiers", text: str = FALSIFIER) -> Path:
        """The file of falsifiers in `folder`."""
        path = self.root / folder / "share.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, experiment: Experiment) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """Rows of mutants and of falsifiers, made in a process of its own."""
        laboratory = Laboratory({KILL_MATRIX: experiment}, Store(self.root / "store"), self.watcher)
        found = laboratory.obtain(KILL_MATRIX)
        return found.rows("mutants.jsonl"), found.rows("falsifiers.jsonl")


@pytest.fixture
def repository(tmp_path: Path, silence: Watcher) -> Repository:
    """With one falsifier."""
    made = Repository(tmp_path, silence)
    made.write()
    return made


def test_every_mutant_has_a_row_and_so_has_every_falsifier(repository: Repository) -> None:
    """Killed by the first control that notices, or alive; controls that need a run are named and not tried."""
    mutants, (falsifier,) = repository.run(repository.experiment())
    assert [row["number"] for row in mutants] == list(range(1, len(mutants) + 1))
    assert falsifier["mutants"] == len(mutants) > 10
    assert (falsifier["falsifier"], falsifier["untried"]) == ("own-share", ["tampered"])
    alive = [str(row["change"]) for row in mutants if not row["killed_by"]]
    assert any(change.startswith("remove the guard") for change in alive)
    killed = {str(row["change"]).split(":")[0]: row["killed_by"] for row in mutants if row["killed_by"]}
    assert killed["measure always 1"] == ["F-SHARE-001/good"]
    assert killed["Mult -> Div"] == ["F-SHARE-001/good"]


def test_an_excuse_is_in_the_row(repository: Repository) -> None:
    """With its reason; the file beside the falsifiers is part of the key."""
    before = key_of(repository.experiment(), {})
    mutants, _ = repository.run(repository.experiment())
    (guard,) = [row for row in mutants if str(row["change"]).startswith("remove the guard")]
    (repository.root / "falsifiers" / "equivalent_mutants.toml").write_text(_excuse(guard), encoding="utf-8")
    assert key_of(repository.experiment(), {}) != before
    again, _ = repository.run(repository.experiment())
    assert [row["accepted"] for row in again if row["change"] == guard["change"]] == ["a test"]


def _excuse(row: dict[str, object]) -> str:
    return f"[[mutant]]\nfalsifier = 'own-share'\nchanges = [{json.dumps(row['change'])}]\nreason = 'a test'\n"


def test_the_key_is_the_code_and_the_bars(repository: Repository) -> None:
    """Not the place of the files, nor the words of a title."""
    key = key_of(repository.experiment(), {})
    assert key == key_of(repository.experiment(title="another"), {})
    repository.write("elsewhere")
    assert key == key_of(repository.experiment("elsewhere"), {})
    assert key != key_of(repository.experiment(bar=51), {})
    repository.write(text=FALSIFIER.replace("< 5", "< 4"))
    assert key != key_of(repository.experiment(), {})
    repository.write()
    assert key == key_of(repository.experiment(), {})
    (repository.root / "falsifiers" / "_helper.py").write_text("", encoding="utf-8")
    assert key != key_of(repository.experiment(), {}), "what a falsifier may import is its code, too"


def test_falsifiers_that_changed_since_the_plan_are_not_mutated(repository: Repository) -> None:
    """The evidence would be filed under the key of other code."""
    experiment = repository.experiment()
    repository.write(text=FALSIFIER.replace("< 5", "< 4"))
    with pytest.raises(ExperimentError, match="not the falsifiers that this run began with: own-share"):
        repository.run(experiment)


def test_a_falsifier_whose_controls_misbehave_ends_the_experiment(repository: Repository) -> None:
    """Nothing it kills would mean anything: no evidence, so no score."""
    repository.write(
        text=FALSIFIER.replace("known_good(good)", "known_good(bad)").replace("known_bad(bad)", "known_bad(good)")
    )
    with pytest.raises(ExperimentError, match="misbehave without any mutation: bad, good"):
        repository.run(repository.experiment())


def test_no_evidence_of_a_release_can_stand_in_for_it(repository: Repository, tmp_path: Path) -> None:
    """A release that brings its own kill matrix is refused."""
    release = parse_release(f"release: r\ntitle: t\nrun_class: quick\nevidence: {{{KILL_MATRIX}: a.json}}\n", "r.yaml")
    with pytest.raises(UsageError, match="taken by refute's own evidence"):
        plan_release(release, tmp_path, others=[repository.experiment()])
