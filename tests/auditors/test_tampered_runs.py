"""What a run has left is not taken at its word: each tampering is measured above its bar, or named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from auditing import Audit
from refute.check.drill.places import PLACES
from refute.distill import kd_loss
from refute.engines.distill.training import step
from refute.engines.drill.change import Change
from refute.engines.drill.hand_overs import HAND_OVERS
from refute.errors import EvidenceError, ExperimentError
from refute.spec.experiments.drill import Fault
from training_runs import KilledError, each_step, kill_at

pytestmark = pytest.mark.slow

# Short, and with all that a longer one has.
SHORT = {"steps": 12, "warmup_steps": 1, "eval_every": 6, "checkpoint_every": 4}


def rewritten(file: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Every tensor of a file changed."""
    save_file({name: change(each) for name, each in load_file(file).items()}, file, metadata={"format": "pt"})


def few(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of which one entry in fifty is another: fewer than any sample is sure to meet."""
    return tensor + 0.1 * (torch.rand(tensor.shape, generator=torch.Generator().manual_seed(3)) < 0.02)


@pytest.fixture
def honest(audit: Callable[..., Audit]) -> Audit:
    """A finished run, not audited yet."""
    made: Audit = audit(**SHORT)
    made.train()
    return made


def test_another_divergence_than_the_declared_one_is_found(
    audit: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that the drill plants: the run trains on the reverse KL, and logs that it did as declared."""
    (place,) = [each for each in PLACES if each.carries == "divergence"]
    fault = Fault(target=place.target, carries=place.carries, kind="swap", begins=0, ends=1 << 30)
    monkeypatch.setattr(step, "kd_loss", HAND_OVERS[fault.carries](kd_loss, Change(fault, 0)))
    made = audit(**SHORT)
    made.train()
    made.redo()
    assert made.measure("segments-redone")["loss_difference"] > 0.01
    assert made.measure("first-step")["gradient_error"] > 0.1


def test_a_checkpoint_edited_with_its_digest_is_found(audit: Callable[..., Audit]) -> None:
    """The resumed run is bitwise what it says from there on; the way to its checkpoint is not."""
    with pytest.raises(KilledError):
        audit(each_step(kill_at(10)), **SHORT).train()
    made = audit(**SHORT)
    place = made.job.scratch / "checkpoints" / "step-00000008"
    rewritten(place / "weights.safetensors", few)
    state = json.loads((place / "state.json").read_text(encoding="utf-8"))
    state["sha256"]["weights.safetensors"] = hashlib.sha256((place / "weights.safetensors").read_bytes()).hexdigest()
    (place / "state.json").write_text(json.dumps(state), encoding="utf-8")
    made.train()
    made.redo()
    assert made.measure("segments-redone")["resumed_distance"] > 0.1


def test_a_resumption_that_is_not_told_is_found(audit: Callable[..., Audit]) -> None:
    """Nor one that is told of another step."""
    with pytest.raises(KilledError):
        audit(each_step(kill_at(10)), **SHORT).train()
    made = audit(**SHORT)
    made.train()
    path = made.job.out / "custody.json"
    custody = json.loads(path.read_text(encoding="utf-8"))
    assert made.measure("resumptions-told")["misstated_resumptions"] == 0
    for told, misstated in (([], 1), ([{"since": 0, "at": 4}], 2)):
        path.write_text(json.dumps(custody | {"resumed": told}), encoding="utf-8")
        assert made.measure("resumptions-told")["misstated_resumptions"] == misstated


def test_entries_exchanged_in_the_release_are_found(honest: Audit) -> None:
    """Also where those that are sampled are the run's."""
    rewritten(honest.job.out / "model" / "model.safetensors", few)
    honest.redo()
    assert honest.measure("segments-redone")["distance"] > 0.1


def test_a_state_of_other_numbers_is_found(honest: Audit) -> None:
    """A kept state must be what the trace says of its step, to the last bit: moments, too."""
    rewritten(honest.job.out / "states" / "step-00000010" / "optimizer.safetensors", lambda each: each * 1.0001)
    honest.redo()
    assert honest.measure("segments-redone")["broken_links"] > 0


def test_a_state_that_was_not_kept_is_named(honest: Audit) -> None:
    """Places are drawn from the run's entropy by the auditor, not read from the run."""
    folder = honest.job.out / "states" / "step-00000010"
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(ExperimentError, match="kept no state after step 10"):
        honest.redo()


def test_a_run_without_custody_is_named(honest: Audit) -> None:
    """It cannot be redone, so it cannot be believed."""
    (honest.job.out / "custody.json").unlink()
    with pytest.raises(EvidenceError, match=r"student/custody\.json cannot be read"):
        honest.redo()


def test_a_trace_with_a_row_too_few_is_named(honest: Audit) -> None:
    """One row a step, and one before the first."""
    rewritten(honest.job.out / "trace.safetensors", lambda each: each[:-1].clone())
    with pytest.raises(ExperimentError, match="expected 13 of each"):
        honest.redo()


def test_a_trace_of_other_entries_is_named(honest: Audit) -> None:
    """As many as the model has parameters to sample."""
    rewritten(honest.job.out / "trace.safetensors", lambda each: each[:, :-1].clone())
    with pytest.raises(ExperimentError, match="entries a row"):
        honest.redo()
