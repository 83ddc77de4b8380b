"""From a release to its experiments: contradictions and missing inputs are found before anything runs."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refute.errors import MissingInputsError, UsageError
from refute.evidence.experiment import Experiment, FromEvidence, Located, Plan
from refute.evidence.key import config_for_key, key_of
from refute.evidence.missing_inputs import missing_inputs, require_inputs
from refute.evidence.plan import plan_release
from refute.evidence.spec_demands import sequential_design
from refute.falsifier.loading import load_registry
from refute.spec.criteria import Spec, load_spec
from refute.spec.files import load_release
from refute.spec.publication import ExportLabel
from refute.spec.release import Release

RELEASES = Path(__file__).parents[2] / "specs" / "releases"
NAMES = [path.name for path in sorted(RELEASES.glob("*.yaml"))]


def load(name: str = "quick.yaml", **changes: Any) -> Release:
    """A shipped release with parts of its `distillation` replaced."""
    content = load_release(RELEASES / name).release.model_dump(mode="json")
    if changes:
        content["distillation"].update(changes)
    return Release.model_validate_json(json.dumps(content))


def with_licence(folder: Path) -> Path:
    """A place for releases below `folder`, from which their licence is found as it is here."""
    (folder / "LICENSE").write_bytes((RELEASES.parents[1] / "LICENSE").read_bytes())
    (folder / "specs" / "releases").mkdir(parents=True)
    return folder / "specs" / "releases"


def built_on(experiment: Experiment) -> set[str]:
    """The evidence whose files the configuration names."""
    found = set[str]()

    def note(place: Located | FromEvidence) -> str:
        if isinstance(place, FromEvidence):
            found.add(place.name)
        return ""

    experiment.config(note)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_need_is_planned_before_it_is_needed(name: str) -> None:
    """Nothing waits for what no experiment produces, or for itself; files of evidence are declared as needs."""
    plan = plan_release(load(name), RELEASES)
    for experiment in plan.values():
        assert set(experiment.needs) <= set(plan), experiment.name
        assert experiment.name not in reachable(experiment.name, plan)
        assert built_on(experiment) <= set(experiment.needs)
        assert experiment.title
        assert experiment.limit_s > 0


def reachable(name: str, plan: Plan) -> set[str]:
    """Everything that `name` builds on."""
    below = set(plan[name].needs)
    return below.union(*(reachable(need, plan) for need in below)) if below else below


@pytest.mark.parametrize("name", NAMES)
def test_planning_needs_nothing_of_what_is_planned(name: str, tmp_path: Path) -> None:
    """On a machine without models, corpus and network, the plan is the same."""
    assert plan_release(load(name), tmp_path).keys() == plan_release(load(name), RELEASES).keys()
    assert list(tmp_path.iterdir()) == []


def test_what_the_stack_and_the_ambition_are_judged_by_is_made_once() -> None:
    """Both releases ask the same of every engine, so that evidence of the one is the other's: but for their names."""
    stack, ambition = (plan_release(load(name), RELEASES) for name in ("embedded.yaml", "embedded-distill.yaml"))
    assert stack.keys() == ambition.keys()
    assert {
        path
        for name, own in stack.items()
        for path in differing(config_for_key(own.config), config_for_key(ambition[name].config), name)
    } == {"release.text", "staged.release"}
    demanded = load_release(RELEASES / "embedded-distill.yaml").release.requires_verdict
    assert [each.release for each in demanded] == ["embedded"]


def test_the_control_differs_from_the_student_in_its_weights_alone() -> None:
    """Same entry, inputs, limits, data order and seed: what distillation is worth is all that remains."""
    plan = plan_release(load(), RELEASES)
    student, control = plan["student"], plan["ce_control"]
    for field in ("entry", "needs", "limit_s"):
        assert getattr(student, field) == getattr(control, field)
    own, other = config_for_key(student.config), config_for_key(control.config)
    assert differing(own, other) == {"training.ce_weight": (0.3, 1.0), "training.kd_weight": (0.7, 0.0)}
    assert key_of(student, {}) != key_of(control, {})


def differing(one: object, other: object, path: str = "") -> dict[str, tuple[object, object]]:
    """Dotted paths at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        found: dict[str, tuple[object, object]] = {}
        for name in one.keys() | other.keys():
            found |= differing(one.get(name), other.get(name), f"{path}.{name}".removeprefix("."))
        return found
    return {} if one == other else {path: (one, other)}


@pytest.mark.parametrize(
    ("part", "change", "affected"),
    [
        ("training", {"seed": 18}, {"student", "ce_control"}),
        ("training", {"learning_rate": 1e-3}, {"student", "ce_control"}),
        ("humaneval", {"max_new_tokens": 47}, {"humaneval_teacher", "humaneval_student", "humaneval_init"}),
        ("corpus", {"seed": 18}, {"corpus"}),
        ("init", {"keep_layers": 5}, {"init"}),
    ],
)
def test_a_setting_changes_the_keys_of_what_it_enters(part: str, change: dict[str, Any], affected: set[str]) -> None:
    """Every experiment that a setting can influence directly gets another key, and the corpus keeps its own."""
    before = plan_release(load(), RELEASES)
    settings = load().model_dump(mode="json")["distillation"][part]
    after = plan_release(load("quick.yaml", **{part: {**settings, **change}}), RELEASES)
    changed = {name for name in before if key_of(before[name], {}) != key_of(after[name], {})}
    assert affected <= changed
    assert ("corpus" in changed) == (part == "corpus")


def test_moving_a_release_changes_no_key(tmp_path: Path) -> None:
    """The same release read from another folder finds the evidence that is there already."""
    moved = with_licence(tmp_path) / "quick.yaml"
    shutil.copyfile(RELEASES / "quick.yaml", moved)
    here, there = plan_release(load(), RELEASES), plan_release(load_release(moved).release, moved.parent)
    assert {name: key_of(here[name], {}) for name in here} == {name: key_of(there[name], {}) for name in there}


@pytest.mark.parametrize("spelling", ["models/one", "./models/../models/one", "models/link"])
def test_a_teacher_that_is_the_init_is_refused(tmp_path: Path, spelling: str) -> None:
    """One folder in both roles, however it is written, symbolic links included."""
    (tmp_path / "models" / "one").mkdir(parents=True)
    (tmp_path / "models" / "link").symlink_to("one")
    init = {"method": "load", "model": {"format": "hf", "path": spelling}}
    release = load(teacher={"format": "hf", "path": "models/one"}, init=init)
    with pytest.raises(UsageError, match="teacher and init are the same model: the KL term would be zero"):
        plan_release(release, tmp_path)


def test_one_gguf_in_both_roles_is_refused(tmp_path: Path) -> None:
    """By digest, wherever the two files lie; another digest is another model."""

    def release(init_sha256: str) -> Release:
        teacher = {"format": "gguf", "source": {"path": "a.gguf", "sha256": "1" * 64}}
        model = {"format": "gguf", "source": {"path": "b.gguf", "sha256": init_sha256}}
        return load(teacher=teacher, init={"method": "load", "model": model})

    with pytest.raises(UsageError, match="teacher and init are the same model"):
        plan_release(release("1" * 64), tmp_path)
    assert "student" in plan_release(release("2" * 64), tmp_path)


@pytest.mark.parametrize("name", ["release", "student", "corpus", "humaneval_null"])
def test_evidence_of_ones_own_takes_no_built_in_name(name: str) -> None:
    """Nobody puts a file in the place of the student's evidence."""
    release = load().model_copy(update={"evidence": {name: "mine"}})
    with pytest.raises(UsageError, match=f"evidence.{name}: that name is taken") as caught:
        plan_release(release, RELEASES)
    assert caught.value.hint == "give yours another name"


def test_evidence_of_ones_own_is_keyed_by_content(tmp_path: Path) -> None:
    """The key follows the file's bytes and not its place; an absent file is named when it is wanted."""
    (tmp_path / "a.jsonl").write_text("{}\n", encoding="utf-8")
    release = load().model_copy(update={"evidence": {"answers": "a.jsonl"}})
    experiment = plan_release(release, tmp_path)["answers"]
    first = key_of(experiment, {})
    (tmp_path / "a.jsonl").write_text("{ }\n", encoding="utf-8")
    assert key_of(experiment, {}) != first
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(MissingInputsError, match=r"no file or folder at .*a\.jsonl"):
        key_of(experiment, {})


def test_everything_that_is_missing_is_listed_at_once(tmp_path: Path) -> None:
    """The real release names models, corpus and GPU that are not here: each has its line, none is downloaded."""
    base = tmp_path / "specs" / "releases"
    release = load("qwen-coder-0.5b.yaml").model_copy(update={"evidence": {"answers": "answers.jsonl"}})
    with pytest.raises(MissingInputsError, match=r"release 'qwen-coder-0\.5b' cannot run here; missing:") as caught:
        require_inputs(release, base)
    expected = [
        "evidence.answers: ",
        "distillation.corpus: ",
        "distillation.init: ",
        "distillation.teacher: ",
        *["distillation.device: cuda"] * (not Path("/dev/nvidiactl").exists()),
        "publication.licence_file: ",
    ]
    lines = missing_inputs(release, base)
    assert [line for line, start in zip(lines, expected, strict=True) if not line.startswith(start)] == []
    assert [line for line in lines if f"  - {line}" not in str(caught.value).splitlines()] == []
    assert not list(tmp_path.iterdir())


def test_packages_that_exports_need_are_missing_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not hours later: llama.cpp for every publication, the other package for the labels that it writes."""
    monkeypatch.setattr("refute.evidence.missing_inputs.find_spec", lambda _name: None)
    release = load("embedded.yaml")
    assert release.publication is not None
    (line,) = missing_inputs(release, RELEASES)
    assert "pip install 'refute[xllamacpp]'" in line
    exports = release.publication.model_copy(update={"exports": (ExportLabel.Q8_0, ExportLabel.Q4_K_M)})
    _, line = missing_inputs(release.model_copy(update={"publication": exports}), RELEASES)
    assert line == "publication.exports: Q4_K_M need the extra kquant: pip install 'refute[kquant]'"


def test_what_is_there_is_not_missing(tmp_path: Path) -> None:
    """Each file that appears takes its line away; downloads are never counted as missing."""
    problems = {"path": "problems.jsonl.gz", "sha256": "0" * 64}
    settings = load().model_dump(mode="json")["distillation"]["humaneval"]
    release = load(humaneval={**settings, "problems": problems}).model_copy(update={"publication": None})
    assert missing_inputs(release, tmp_path) == [f"distillation.humaneval.problems: {tmp_path / 'problems.jsonl.gz'}"]
    (tmp_path / "problems.jsonl.gz").write_bytes(b"")
    assert missing_inputs(release, tmp_path) == []
    require_inputs(release, tmp_path)


def test_a_release_without_a_distillation_plans_only_its_own_files(tmp_path: Path) -> None:
    """A foreign repository's release: its evidence, and the release itself for falsifiers that read it."""
    release = Release.model_validate(
        {"release": "mine", "title": "t", "run_class": "quick", "evidence": {"answers": "a"}}, strict=False
    )
    plan = plan_release(release, tmp_path)
    assert sorted(plan) == ["answers", "release"]
    assert json.loads(str(config_for_key(plan["release"].config)["text"])) == json.loads(release.model_dump_json())
    assert {experiment.entry for experiment in plan.values()} == {None}


def test_every_entry_names_a_function_that_exists() -> None:
    """A misspelt entry would fail after the hours that come before it: parse the sources, import no torch."""
    for experiment in plan_release(load(), RELEASES).values():
        if experiment.entry is None:
            continue
        module, function = experiment.entry.split(":")
        file = Path(__file__).parents[2] / "harness" / Path(*module.split(".")).with_suffix(".py")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, experiment.entry


# ------------------------------------------------------------------------------------------------ sequential runs

RULE = {"error_rate": 0.05, "spending": "pocock", "problems": 164, "look_every": 8}


def spec_with(*rules: Mapping[str, object] | None) -> Spec:
    """A spec whose criteria bar the student's sequential share at 15 %, each by one of `rules`."""
    criteria = [
        {
            "id": f"AC-S-{number}",
            "title": "t",
            "statement": "s",
            "severity": "block",
            "phase": 5,
            "falsifiers": [
                {
                    "id": f"F-S-{number}",
                    "uses": "humaneval-pass-at-1-sequential",
                    "thresholds": {"pass_at_1": {"holds_if": ">= 15 %", "sequential": rule}},
                }
            ],
        }
        for number, rule in enumerate(rules)
    ]
    return Spec.model_validate_json(
        json.dumps({"spec": "SPEC-S-001", "version": 1, "title": "t", "criteria": criteria})
    )


def test_a_declared_sequential_test_plans_a_run_of_its_own() -> None:
    """The rule is read from the spec, with its boundaries, and is part of what the evidence is filed under."""
    registry = load_registry([])
    design = sequential_design([spec_with(RULE, RULE, None)], registry)
    assert design is not None
    plan = plan_release(load("embedded.yaml"), RELEASES, sequential=design)
    found = plan["humaneval_sequential"]
    rule = config_for_key(found.config)["sequential"]
    assert isinstance(rule, dict)
    assert (rule["bar"], rule["looks"][:2], rule["boundaries"][0]["stop_at_least"]) == (15.0, [8, 16], 6)
    whole = config_for_key(plan["humaneval_student"].config)
    assert {**config_for_key(found.config), "sequential": None} == {**whole, "sequential": None}
    evidence = {"student": "d" * 64}
    keys = {key_of(found, evidence), key_of(plan["humaneval_student"], evidence)}
    other = sequential_design([spec_with({**RULE, "error_rate": 0.01})], registry)
    keys.add(key_of(plan_release(load("embedded.yaml"), RELEASES, sequential=other)["humaneval_sequential"], evidence))
    assert len(keys) == 3


def test_without_a_declared_test_no_run_may_stop_early() -> None:
    """The shipped spec judges fixed samples, and then there is nothing that could stop."""
    registry = load_registry([])
    shipped = load_spec(RELEASES.parent / "distill-001.yaml").spec
    assert sequential_design([shipped, spec_with(None)], registry) is None
    assert "humaneval_sequential" not in plan_release(load(), RELEASES)


def test_two_different_sequential_tests_of_one_run_are_refused() -> None:
    """One run can stop by one rule only; both falsifiers are named."""
    with pytest.raises(UsageError, match="F-S-0 and F-S-1 declare different sequential tests"):
        sequential_design([spec_with(RULE, {**RULE, "seed": 18})], load_registry([]))
