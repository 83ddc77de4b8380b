"""Configurations of experiments: accepted while planning by the very model that the engine parses, or refused."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from free_config import free
from refute.errors import UsageError
from refute.evidence.experiment import Experiment, FromEvidence, Located, check_config, config_for_job
from refute.evidence.key import config_for_key
from refute.evidence.plan import plan_release
from refute.evidence.reach import module_file
from refute.spec.bars.sequential import Design, every
from refute.spec.experiments.distill import MathConfig
from refute.spec.files import load_release

RELEASES = Path(__file__).parents[2] / "specs" / "releases"
NAMES = [path.name for path in sorted(RELEASES.glob("*.yaml"))]
DESIGN = Design(15.0, 0.05, "pocock", every(8, 164))


def parsed_by(entry: str) -> str:
    """The name of the model that the function at `entry` parses its configuration by, read from its source."""
    module, function = entry.split(":")
    path = module_file(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (body,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    (call,) = (
        node
        for node in ast.walk(body)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "parse_config"
    )
    assert isinstance(call.args[0], ast.Name)
    return call.args[0].id


@pytest.mark.parametrize("name", NAMES)
def test_every_planned_configuration_is_one_that_its_engine_parses(name: str) -> None:
    """The plan makes the model that the engine's function parses, and what it writes for the job is read back equal."""
    release = load_release(RELEASES / name).release
    plan = plan_release(release, RELEASES, sequential=DESIGN)
    assert ("humaneval_sequential" in plan) is (release.distillation is not None)
    for experiment in plan.values():
        made = experiment.config(lambda _place: "/somewhere")
        assert type(made).model_validate_json(made.model_dump_json()) == made
        if experiment.entry is not None:
            assert type(made).__name__ == parsed_by(experiment.entry), experiment.name
            assert type(made).__module__.startswith("refute.spec.experiments.")


def test_a_wrong_key_is_refused_while_planning() -> None:
    """By experiment and key, before anything runs: one that is unknown, one of another type, one that is missing."""
    release = load_release(RELEASES / "quick.yaml").release

    def planned(**values: object) -> None:
        other = Experiment("mine", "mine", "x:y", lambda _at: MathConfig.model_validate(values))
        plan_release(release, RELEASES, others=[other])

    planned(threads=3)
    for values, words in (
        ({"thread": 3}, "'mine' got a configuration that MathConfig does not accept: thread: Extra inputs"),
        ({"threads": "3"}, "'mine' got a configuration that MathConfig does not accept: threads: "),
        ({"dtype": "float16"}, "'mine' got a configuration that MathConfig does not accept: dtype: "),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            planned(**values)
        assert caught.value.hint


def test_a_release_that_no_engine_can_run_is_refused_while_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of the table that makes nonsense of a release: today a fault of the plan, found before hours are spent."""
    release = load_release(RELEASES / "quick.yaml").release
    monkeypatch.setattr("refute.evidence.planned.configurations.problems_path", lambda _parts, _at: 7)
    with pytest.raises(
        UsageError, match="'corpus' got a configuration that CorpusConfig does not accept: problems_path"
    ):
        plan_release(release, RELEASES)


def test_what_is_not_needed_cannot_be_built_on() -> None:
    """Its folder would not be known when the experiment runs, and its digest would not enter the key."""
    config = free(path=FromEvidence("init", "model"))
    check_config(Experiment("it", "it", "x:y", config, ("init",)))
    with pytest.raises(UsageError, match="'it' is configured with 'model' of the evidence 'init', and needs corpus"):
        check_config(Experiment("it", "it", "x:y", config, ("corpus",)))


def test_planning_looks_for_no_file() -> None:
    """Digests are taken for the key, paths for the job, and neither while planning."""

    def never() -> str:
        raise AssertionError

    def nowhere() -> Path:
        raise AssertionError

    check_config(Experiment("it", "it", "x:y", free(path=Located(never, nowhere))))
    with pytest.raises(AssertionError):
        config_for_key(free(path=Located(never, Path)))
    with pytest.raises(AssertionError):
        config_for_job(free(path=Located(str, nowhere)), {})


def test_defaults_enter_the_key() -> None:
    """A default that changes is another experiment, though no plan states it."""
    plan = plan_release(load_release(RELEASES / "quick.yaml").release, RELEASES)
    assert config_for_key(plan["corpus_audit"].config)["windows"] == 128
    assert config_for_key(plan["humaneval_replay_student"].config)["others_at_most"] == 8
