"""What models were asked survives a kill, and belongs to the samples that came of it."""

from __future__ import annotations

from pathlib import Path

from refute.engines.humaneval.samples.call_log import CallLog
from refute.engines.humaneval.samples.completion import Completion
from refute.spec.experiments.evidence.humaneval import ModelCall


def call(task: str, sample: int, budget: int) -> ModelCall:
    """A call of three tokens."""
    return ModelCall(
        task_id=task,
        sample=sample,
        prompt_ids=(1, 2, 3),
        max_new_tokens=budget,
        stop_sequences=("x",),
        sampler="argmax",
        temperature=0.0,
        dtype="float32",
        batch=2,
    )


def test_the_last_call_is_the_one_a_sample_came_of(tmp_path: Path) -> None:
    """A batch that a kill cut short is asked again, as a whole; calls without a sample are left out."""
    path = tmp_path / "calls.jsonl"
    CallLog(path).note(call("T/0", 0, 7))
    CallLog(path).note(call("T/0", 1, 8))
    with path.open("ab") as file:
        file.write(b'\n{"task_id": "T/1", "sam')
    again = CallLog(path)
    again.note(call("T/0", 0, 9))
    found = again.calls_of([Completion("T/0", "text", 3, "eos"), Completion("T/9", "text", 3, "eos")])
    assert found == [call("T/0", 0, 9)]


def test_a_run_that_asked_nothing_has_no_calls(tmp_path: Path) -> None:
    """Not an error here: that nobody was asked is for a falsifier to say."""
    assert CallLog(tmp_path / "calls.jsonl").calls_of([Completion("T/0", "text", 3, "eos")]) == []
