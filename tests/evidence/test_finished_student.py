"""The plan of a student that somebody else has trained: whatever is named of it, and nothing that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refute.errors import SpecError, UsageError
from refute.evidence.experiment import FromEvidence, Located
from refute.evidence.missing_inputs import missing_inputs
from refute.evidence.plan import input_digests, plan_release
from refute.falsifier.loading import load_registry
from refute.judge.subject_evidence import evidence_about
from refute.spec.criteria import load_spec, not_applicable
from refute.spec.files import load_release, parse_release, refuse_outputs_inside
from refute.spec.release import Release

SPECS = Path(__file__).parents[2] / "specs"
SPEC = load_spec(SPECS / "student-001.yaml").spec
QUICK = load_release(SPECS / "releases" / "quick.yaml").release
HUMANEVAL = json.loads(QUICK.model_dump_json())["distillation"]["humaneval"]
HEAD = {"release": "mine", "title": "mine", "run_class": "embedded", "subject": "student"}
TEXT = {"kind": "files", "path": "text", "train_tokens": 1000, "heldout_tokens": 1000}
GGUF = {"format": "gguf", "source": {"path": "teacher.gguf", "sha256": "1" * 64}}


def hf(path: str) -> dict[str, str]:
    """A model folder."""
    return {"format": "hf", "path": path}


WHOLE: dict[str, Any] = {
    "teacher": GGUF,
    "init": hf("init"),
    "corpus": TEXT,
    "training": {"format": "trainer_state", "path": "trainer_state.json"},
}


def release(**student: Any) -> Release:
    """One with a finished student."""
    text = json.dumps(HEAD | {"student": {"model": hf("mine"), "humaneval": HUMANEVAL} | student})
    return parse_release(text, "release.json")


@pytest.mark.parametrize(
    "named", [(), ("corpus",), ("corpus", "teacher"), ("corpus", "init"), ("training",), tuple(WHOLE)]
)
def test_what_is_named_is_planned_and_what_applies_has_its_evidence(named: tuple[str, ...]) -> None:
    """Each criterion that the spec does not excuse finds all that its falsifiers need; the rest is not planned."""
    one = release(**{name: WHOLE[name] for name in named})
    plan, registry = plan_release(one, SPECS), load_registry([])
    for criterion in SPEC.criteria:
        if not_applicable(criterion, one) is None:
            needs = {need for use in criterion.falsifiers for need in registry[use.uses or ""].needs}
            assert needs - {"kill_matrix"} <= plan.keys(), criterion.id
    for name, part in (("corpus", "corpus"), ("lineage", "teacher"), ("init", "init"), ("training_record", "training")):
        assert (name in plan) is (part in named)
    for experiment in plan.values():
        built = set[str]()

        def note(place: Located | FromEvidence, built: set[str] = built) -> str:
            built |= {place.name} if isinstance(place, FromEvidence) else set()
            return "x"

        experiment.config(note)
        assert built <= set(experiment.needs) <= plan.keys()


def test_everything_measured_is_about_the_student() -> None:
    """But for the scorer's own calibration, and what teacher and init are alone."""
    one = release(**WHOLE)
    plan = plan_release(one, SPECS)
    about = evidence_about(one, {name: each.needs for name, each in plan.items()})
    assert {"student", "student_opened", "student_heldout", "humaneval_replay_student", "lineage"} <= about
    assert not about & {"humaneval_calibration", "teacher", "humaneval_teacher", "training_record"}


def test_a_student_on_a_hub_is_fetched_by_its_commit(tmp_path: Path) -> None:
    """It is no missing file, and its commit says which files it is."""
    one = release(model={"format": "hub", "repo": "me/model", "commit": "a" * 40})
    plan = plan_release(one, SPECS)
    assert plan["student"].entry == "refute.engines.distill.experiments.finished:fetch_student"
    assert missing_inputs(one, tmp_path) == []
    assert input_digests(one, tmp_path)["student.model"] == f"me/model@{'a' * 40}"
    with pytest.raises(SpecError, match="commit"):
        release(model={"format": "hub", "repo": "me/model", "commit": "main"})


def test_a_student_is_not_compared_with_itself() -> None:
    """Nothing would differ."""
    with pytest.raises(UsageError, match=r"student\.init is the student itself"):
        plan_release(release(corpus=TEXT, init=hf("mine")), SPECS)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"teacher": GGUF}, "`teacher` needs `corpus`"),
        ({"training": "here"}, "training"),
        ({"humaneval": HUMANEVAL | {"backend": {"kind": "openai"}}}, "backend"),
    ],
)
def test_parts_that_cannot_be_judged_are_refused(student: dict[str, Any], message: str) -> None:
    """Before anything runs."""
    with pytest.raises(SpecError, match=message):
        release(**student)


def test_a_release_makes_its_student_or_names_it() -> None:
    """Not both."""
    content = json.loads(QUICK.model_dump_json())
    content["student"] = {"model": hf("mine"), "humaneval": HUMANEVAL}
    with pytest.raises(SpecError, match="name one of both"):
        parse_release(json.dumps(content), "release.json")


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    """Each part with its line; and results of other tools."""
    one = release(**WHOLE).model_copy(update={"results": {}})
    lines = [line.partition(":")[0] for line in missing_inputs(one, tmp_path)]
    assert lines == ["student.corpus", "student.init", "student.model", "student.teacher", "student.training"]


def test_inputs_are_named_by_their_digests(tmp_path: Path) -> None:
    """A lock says of which files."""
    for name in ("mine", "init", "text"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name, encoding="utf-8")
    (tmp_path / "trainer_state.json").write_text("{}", encoding="utf-8")
    found = input_digests(release(**WHOLE), tmp_path)
    assert {name.removeprefix("student.") for name in found} == {
        *("model", "teacher", "init", "corpus", "training", "humaneval.problems")
    }


def test_a_run_does_not_write_into_the_student(tmp_path: Path) -> None:
    """What is judged would change while it is judged."""
    (tmp_path / "mine").mkdir()
    path = tmp_path / "release.yaml"
    content = HEAD | {"student": {"model": hf("mine"), "humaneval": HUMANEVAL}}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UsageError, match=r"lies in student\.model"):
        refuse_outputs_inside(load_release(path), tmp_path / "mine" / ".refute")


def test_samples_are_evidence_of_their_own_and_leave_the_greedy_answers_as_they_are() -> None:
    """Without `sampling` nothing of them is planned; with it, what is asked greedily is asked the same."""
    drawn = {"samples": 8, "temperature": 0.2}
    alone, both = (
        plan_release(release(humaneval=each), SPECS) for each in (HUMANEVAL, HUMANEVAL | {"sampling": drawn})
    )
    assert both.keys() - alone.keys() == {"humaneval_sampled", "humaneval_replay_sampled"}
    told = {name: each.config(lambda _place: "x") for name, each in both.items()}
    for name in ("humaneval_student", "humaneval_replay_student", "humaneval_calibration"):
        assert told[name] == alone[name].config(lambda _place: "x")
    for name in ("humaneval_sampled", "humaneval_replay_sampled"):
        found = told[name].model_dump()["humaneval"]["sampling"]
        assert found == {**drawn, "top_p": 0.95, "seed": 17}


def test_a_baseline_is_read_from_its_verdict_and_pinned_by_its_digest(tmp_path: Path) -> None:
    """Nothing of it is planned without one; the lock holds the digest of the file."""
    (tmp_path / "v1.json").write_text("{}", encoding="utf-8")
    named = HEAD | {"evidence": {"mine": "v1.json"}}
    one = parse_release(json.dumps(named | {"baseline": {"release": "v1", "verdict": "v1.json", "key": "k"}}), "r.json")
    assert plan_release(one, tmp_path).keys() - plan_release(
        parse_release(json.dumps(named), "r.json"), tmp_path
    ).keys() == {"humaneval_previous"}
    assert input_digests(one, tmp_path)["baseline.verdict"] == input_digests(one, tmp_path)["evidence.mine"]
    with pytest.raises(SpecError, match="name this release itself"):
        parse_release(json.dumps(named | {"baseline": {"release": "mine", "verdict": "v1.json", "key": "k"}}), "r.json")
