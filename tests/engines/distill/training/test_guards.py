"""A run stops where numbers end, and one that cannot come to anything is refused."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from json_lines import read_rows
from refute.engines.distill.data.packing import Batch
from refute.engines.distill.experiments.train import train
from refute.engines.distill.training import guards
from refute.errors import ExperimentError, NonFiniteError, StoppedError, UsageError
from refute.job import Job, Stop
from training_runs import KilledError, Losses, each_step, kill_at, patch_steps, run, same, summary


@pytest.mark.slow
def test_nan_stops_at_that_step_with_state_and_batch(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names step and folder; the folder holds the weights before the step and the batch itself."""
    calls: list[torch.Tensor] = []

    def poisoned_at_six(batch: Batch, loss: Losses) -> Losses:
        calls.append(batch.ids)
        return (loss[0] * float("nan"), *loss[1:]) if len(calls) == 6 else loss

    patch_steps(monkeypatch, poisoned_at_six)
    job = start()
    with pytest.raises(NonFiniteError, match=r"loss is nan at step 6, .*nonfinite-step-00000006"):
        train(job)
    folder = job.scratch / "nonfinite-step-00000006"
    batch = json.loads((folder / "batch.json").read_text(encoding="utf-8"))
    assert (batch["step"], batch["what"]) == (6, "loss")
    assert [window[:-1] for window in batch["tokens"]] == calls[-1].tolist()
    assert len(read_rows(job.scratch / "metrics.jsonl")) == 5
    monkeypatch.undo()
    clean = start("clean", checkpoint_every=5, report=each_step(kill_at(5)))
    with pytest.raises(KilledError):
        train(clean)
    kept = load_file(folder / "step-00000005" / "weights.safetensors")
    assert same(kept, load_file(clean.scratch / "checkpoints" / "step-00000005" / "weights.safetensors"))


def test_infinite_gradient_stops_before_the_optimiser_moves(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss with an infinite gradient is noticed too."""

    def steep(batch: Batch, loss: Losses) -> Losses:
        # A zero whose derivative is infinite.
        return (loss[0] + (loss[0] - loss[0].detach()).abs().sqrt(), *loss[1:])

    patch_steps(monkeypatch, steep)
    with pytest.raises(NonFiniteError, match=r"gradient norm is (nan|inf) at step 1"):
        train(start())


def test_nan_in_the_teacher_stops_the_step(start: Callable[..., Job], teacher_folder: Path, tmp_path: Path) -> None:
    """A teacher whose weights hold NaN never becomes a student's target."""
    broken = shutil.copytree(teacher_folder, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFiniteError, match=r"teacher logits hold NaN"):
        train(start(teacher=broken))


def test_student_wider_than_its_teacher_is_refused(start: Callable[..., Job], wide_init_evidence: Path) -> None:
    """KD has no target for tokens that the teacher does not know."""
    with pytest.raises(ExperimentError, match="student predicts 320 tokens, its teacher only 300"):
        train(start(init=wide_init_evidence))


def test_a_teacher_that_is_the_init_is_refused(start: Callable[..., Job], teacher_folder: Path, tmp_path: Path) -> None:
    """The same weights under another path would distil nothing."""
    copy = tmp_path / "copy"
    shutil.copytree(teacher_folder, copy / "model")
    with pytest.raises(ExperimentError, match="teacher and init have the same weights"):
        train(start(init=copy))


@pytest.mark.parametrize(("dtype", "sizes"), [(torch.float32, "40KB"), (torch.bfloat16, "1GB"), (torch.float16, "1GB")])
def test_a_teacher_in_other_files_than_the_init_is_refused(
    start: Callable[..., Job], teacher_folder: Path, tmp_path: Path, dtype: torch.dtype, sizes: str
) -> None:
    """In several files or rounded to another dtype it is still the init: other digests, and a KL of nothing."""
    copy = tmp_path / "copy" / "model"
    shutil.copytree(teacher_folder, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    model = AutoModelForCausalLM.from_pretrained(teacher_folder, dtype=dtype)
    model.save_pretrained(copy, max_shard_size=sizes)
    with pytest.raises(ExperimentError, match="teacher and init have the same numbers, in other files") as caught:
        train(start(init=copy.parent))
    assert "larger teacher" in caught.value.hint


def test_too_few_heldout_windows(start: Callable[..., Job]) -> None:
    """Evaluation windows that the corpus lacks are named."""
    with pytest.raises(ExperimentError, match=r"eval_windows = 13, the corpus has 12"):
        train(start(eval_windows=13))


def test_altered_shards_stop_the_run(start: Callable[..., Job], shards_folder: Path, tmp_path: Path) -> None:
    """One flipped bit in a shard: nothing is trained on it."""
    copy = shutil.copytree(shards_folder, tmp_path / "shards")
    data = bytearray((copy / "train-00001.bin").read_bytes())
    data[0] ^= 1
    (copy / "train-00001.bin").write_bytes(bytes(data))
    with pytest.raises(ExperimentError, match=r"train-00001\.bin"):
        train(start(corpus=copy))


def test_shards_of_another_tokenizer_are_refused(
    start: Callable[..., Job], shards_folder: Path, tmp_path: Path
) -> None:
    """The manifest's digest is neither the init's nor the teacher's."""
    copy = shutil.copytree(shards_folder, tmp_path / "shards")
    text = (copy / "manifest.json").read_text(encoding="utf-8")
    digest = json.loads(text)["tokenizer_sha256"]
    (copy / "manifest.json").write_text(text.replace(digest, "f" * 64), encoding="utf-8")
    with pytest.raises(ExperimentError, match=f"tokenised by tokenizer {'f' * 64}"):
        train(start(corpus=copy))


def test_a_mask_without_a_known_document_end_is_refused(start: Callable[..., Job]) -> None:
    """A corpus that does not say which id ends a document cannot be masked, and is not silently left unmasked."""
    with pytest.raises(ExperimentError, match=r"document_mask is on, but .* does not say which id ends a document"):
        train(start(document_mask=True))


@pytest.mark.slow
def test_a_smoke_run_is_exactly_so_many_steps_and_leaves_no_model(start: Callable[..., Job]) -> None:
    """smoke.json projects the time of all steps; no model, no summary."""
    taken: list[int] = []
    job = start(report=each_step(taken.append))
    run(job, max_steps=3)
    assert taken == [1, 2, 3]
    assert [path.name for path in job.out.iterdir()] == ["smoke.json"]
    smoke = json.loads((job.out / "smoke.json").read_text(encoding="utf-8"))
    assert smoke["steps"] == 3
    assert smoke["last"]["step"] == 3
    assert smoke["projected_hours"] == pytest.approx(smoke["seconds"] / 3 * 12 / 3600)


@pytest.mark.slow
def test_a_long_run_needs_a_smoke_run_of_the_same_configuration(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None, another one's, its own, and by force, which is recorded; an experiment of a release is not asked."""
    monkeypatch.setattr(guards, "_LONG_STEPS", 3)
    short = partial(start, steps=3)
    job = short()
    with pytest.raises(UsageError, match=r"3 steps need a smoke run .* there is no .*smoke\.json") as caught:
        run(job, forced=False)
    assert "--force" in caught.value.hint
    other = short("other", seed=18)
    run(other, max_steps=2)
    (job.out / "smoke.json").write_bytes((other.out / "smoke.json").read_bytes())
    with pytest.raises(UsageError, match=r"smoke\.json is of another one"):
        run(job, forced=False)
    run(short("smoke"), max_steps=2)
    (job.out / "smoke.json").write_bytes((short("smoke").out / "smoke.json").read_bytes())
    run(job, forced=False)
    assert json.loads((job.out / "preflight.json").read_text(encoding="utf-8"))["forced_without_smoke"] is False
    forced = short("forced")
    run(forced, forced=True)
    assert json.loads((forced.out / "preflight.json").read_text(encoding="utf-8"))["forced_without_smoke"] is True
    run(short("experiment"))


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "refused"), [(4_999, False), (5_000, True)])
def test_long_begins_at_five_thousand_steps(start: Callable[..., Job], steps: int, refused: bool) -> None:
    """One step fewer may begin without a smoke run."""
    job = start(steps=steps)
    stop = Stop(signal.SIGTERM)
    expected = UsageError if refused else StoppedError
    with pytest.raises(expected, match="need a smoke run" if refused else "stopped after step 1 of 4999"):
        run(job, forced=False, stop=stop)


@pytest.mark.slow
def test_a_pace_that_cannot_keep_its_budget_is_stopped_after_twenty_steps(start: Callable[..., Job]) -> None:
    """Both durations are named, no further step is made; a budget that suffices, or a run at its end, goes on."""
    taken: list[int] = []
    job = start(steps=22, budget_hours=1e-7, report=each_step(taken.append))
    with pytest.raises(ExperimentError, match=r"first 20 steps the run takes \S+ h, its budget is 1e-07 h"):
        train(job)
    assert taken[-1] == 20
    enough = start("enough", steps=22, budget_hours=1.0)
    train(enough)
    assert summary(enough.out)["steps"] == 22
    done = start("done", steps=20, budget_hours=1e-7)
    train(done)
    assert summary(done.out)["steps"] == 20
