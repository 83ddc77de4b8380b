"""A verdict on a finished student says that nobody here saw its training."""

from __future__ import annotations

import json

import pytest

from refute.judge.predicate.model import Predicate
from refute.report.sentences import training, warnings

RECORD = {"format": "trainer_state", "path": "trainer_state.json"}
PROBLEMS = {"path": "problems.jsonl", "sha256": "0" * 64}
HUMANEVAL = {"problems": PROBLEMS, "prompt": "completion", "max_new_tokens": 8, "batch_size": 1}


def about(predicate: Predicate, **parts: object) -> Predicate:
    """The same, of a release that has these parts."""
    text = json.dumps({"release": "mine", "title": "mine", "run_class": "quick", **parts})
    return predicate.model_copy(update={"release": predicate.release.model_copy(update={"text": text})})


@pytest.mark.parametrize(
    ("declared", "said"), [("elsewhere", "training not observed"), (RECORD, "training claimed, not observed")]
)
def test_a_finished_student_was_not_seen_in_training(predicate: Predicate, declared: object, said: str) -> None:
    """Whatever its trainer says of it; the warning is there, too."""
    model = {"format": "hf", "path": "model"}
    found = about(predicate, student={"model": model, "training": declared, "humaneval": HUMANEVAL})
    assert training(found) == said
    assert any(said in warning for warning in warnings(found))


def test_of_no_student_nothing_is_said(predicate: Predicate) -> None:
    """A release of files alone, and a text that is no release of this version."""
    assert training(about(predicate, evidence={"answers": "answers.jsonl"})) == ""
    assert training(about(predicate, of_tomorrow=True)) == ""
