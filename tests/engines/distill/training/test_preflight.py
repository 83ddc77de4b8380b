"""Before the first step: what cannot fit, and a loss that is not the one that is claimed, are refused with numbers."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refute.engines.distill.loss.kd_loss import KdLoss, kd_loss
from refute.engines.distill.teacher.loaded import Teacher
from refute.engines.distill.teacher.topk_cache import TopKCache, prepare
from refute.engines.distill.teacher.topk_source import LoadedSource
from refute.engines.distill.training import preflight as module
from refute.engines.distill.training import step
from refute.engines.distill.training.build import Run, build
from refute.engines.distill.training.preflight import preflight
from refute.engines.distill.training.ranks import ALONE
from refute.engines.model.vocabulary import Vocabulary
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError
from refute.spec.experiments.distill import TrainConfig
from training_runs import BASE, run_config

pytestmark = pytest.mark.usefixtures("one_thread")
PARAMETERS = 300 * 32 + 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 2 * 32) + 32


@pytest.fixture
def make_run(teacher_folder: Path, init_evidence: Path, shards_folder: Path) -> Callable[..., Run]:
    """Builds a run on shards from changes to its training; `teacher=None` leaves the teacher out."""

    def make(*, teacher: Path | None = teacher_folder, **changes: object) -> Run:
        training = {**BASE, "steps": 50, "micro_batch_size": 4, **changes}
        config = run_config(training, teacher=teacher, init=init_evidence, corpus=shards_folder)
        return build(TrainConfig.model_validate_json(json.dumps(config)), ALONE)

    return make


def test_sizes_are_those_of_the_run(make_run: Callable[..., Run], tmp_path: Path) -> None:
    """Parameters, tokens, epochs and the bytes that follow from them, by hand."""
    run = make_run()
    found = preflight(run, tmp_path, forced=False)
    assert found.student_parameters == PARAMETERS
    assert found.memory_needed == PARAMETERS * 4 * 3
    assert found.disk_needed == PARAMETERS * 4 * (3 * 8 + 1)
    assert (found.tokens_per_step, found.tokens) == (8 * 15, 50 * 8 * 15)
    assert found.epochs == pytest.approx(50 * 8 / len(run.data.windows))
    assert found.tokens_per_parameter == pytest.approx(50 * 8 * 15 / PARAMETERS)
    assert (found.teacher_rows, found.student_rows, found.dropped_mass) == (300, 300, 0.0)
    assert found.loss == pytest.approx(found.reference_loss, abs=1e-5)
    json.dumps(found.as_json(), allow_nan=False)


def test_the_best_weights_need_room_as_well(make_run: Callable[..., Run], tmp_path: Path) -> None:
    """They lie beside the checkpoints, and a new copy is whole before the old one goes."""
    assert preflight(make_run(keep="best"), tmp_path, forced=False).disk_needed == PARAMETERS * 4 * (3 * 8 + 3)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ce_weight": 1.0, "kd_weight": 0.0},
        {"ce_weight": 0.0, "kd_weight": 1.0, "temperature": 1.0},
        {"divergence": "reverse_kl"},
        {"divergence": "jensen_shannon", "beta": 0.2},
    ],
)
def test_the_loss_agrees_with_its_reference(
    make_run: Callable[..., Run], tmp_path: Path, changes: dict[str, object], mask: bool
) -> None:
    """Any mixture, with and without document masks: far below the bar."""
    found = preflight(make_run(document_mask=mask, **changes), tmp_path, forced=False)
    assert abs(found.loss - found.reference_loss) < 1e-5


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_mask_that_does_not_hold_is_refused(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Before the first step, for either model: one that reads on where positions restart is named."""
    run = make_run(document_mask=True)
    preflight(run, tmp_path, forced=False)
    assert isinstance(run.teacher, Teacher)
    model = run.student if who == "student" else run.teacher.model
    original = type(model).forward

    def reads_on(self: Any, *arguments: Any, position_ids: Any = None, **more: Any) -> Any:
        return (
            original(self, *arguments, **more)
            if self is model
            else original(self, *arguments, position_ids=position_ids, **more)
        )

    monkeypatch.setattr(type(model), "forward", reads_on)
    with pytest.raises(ExperimentError, match=f"document_mask is on, and the {who} reads across documents"):
        preflight(run, tmp_path, forced=False)


def test_a_run_without_a_teacher_is_checked_by_its_cross_entropy(make_run: Callable[..., Run], tmp_path: Path) -> None:
    """No teacher: nothing is dropped, and the loss of the first window is CE."""
    found = preflight(make_run(teacher=None, ce_weight=1.0, kd_weight=0.0), tmp_path, forced=True)
    assert (found.teacher_rows, found.teacher_parameters, found.dropped_mass) == (None, None, None)
    assert found.loss == pytest.approx(found.reference_loss, abs=1e-5)
    assert found.forced_without_smoke


@pytest.mark.parametrize("missing", [0, 1])
def test_too_little_memory_is_refused_with_both_sizes(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """One byte less than gradient and moments need is too little; exactly enough is enough."""
    monkeypatch.setattr(module, "_available_memory", lambda _: PARAMETERS * 12 - missing)
    if not missing:
        preflight(make_run(), tmp_path, forced=False)
        return
    with pytest.raises(ExperimentError, match=r"need 0\.0 GB beside 0\.0 GB of teacher, cpu has 0\.0 GB left"):
        preflight(make_run(), tmp_path, forced=False)


@pytest.mark.parametrize("missing", [0, 1])
def test_too_little_disk_is_refused_with_both_sizes(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """Three checkpoints, the five states that segments may begin with, and the model must fit."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=PARAMETERS * 100 - missing))
    if not missing:
        preflight(make_run(), tmp_path, forced=False)
        return
    with pytest.raises(ExperimentError, match=r"checkpoints and the model need 0\.0 GB, .* has 0\.0 GB free"):
        preflight(make_run(), tmp_path, forced=False)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1.0},
        {"ce_weight": 0.7, "kd_weight": 0.3},
        {"teacher_hidden": None, "teacher_head_weight": None, "ce_weight": 1.0, "kd_weight": 0.0},
        {"denominator": 16.0},
    ],
)
def test_a_sabotaged_loss_is_refused_with_both_numbers(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Mapping[str, object]
) -> None:
    """Another temperature, swapped weights, no teacher, a denominator off by one: seen before the first step."""

    def sabotaged(*tensors: Any, **given: Any) -> KdLoss:
        return kd_loss(*tensors, **{**given, **change})

    run = make_run()
    good = preflight(run, tmp_path, forced=False)
    monkeypatch.setattr(step, "kd_loss", sabotaged)
    with pytest.raises(
        ExperimentError, match=r"loss of one window is (\S+) nat/token.*implementation (\S+):"
    ) as caught:
        preflight(run, tmp_path, forced=False)
    numbers = [float(word.rstrip(":")) for word in str(caught.value).split() if word.rstrip(":").count(".") == 1]
    wrong, right = numbers[0], numbers[1]
    assert right == pytest.approx(good.reference_loss, abs=1e-5)
    assert abs(wrong - right) > 0.01


def test_a_loss_that_is_no_number_is_refused(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN compares with nothing, so it must not slip through the bar."""

    def poisoned(*tensors: Any, **given: Any) -> KdLoss:
        loss = kd_loss(*tensors, **given)
        return replace(loss, total=loss.total * math.nan)

    monkeypatch.setattr(step, "kd_loss", poisoned)
    with pytest.raises(NonFiniteError, match="loss of the first window is nan"):
        preflight(make_run(), tmp_path, forced=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "changes"),
    [
        (1, {}),
        (16, {}),
        (300, {}),
        (16, {"divergence": "reverse_kl"}),
        (300, {"divergence": "reverse_kl"}),
        (16, {"divergence": "jensen_shannon", "beta": 0.5}),
    ],
)
def test_a_cache_is_compared_by_what_it_kept(
    make_run: Callable[..., Run], tmp_path: Path, k: int, changes: dict[str, object]
) -> None:
    """What k + 1 outcomes differ by is below the full divergence for a small k; both sides of the comparison use it."""
    run = make_run(**changes)
    assert run.teacher is not None
    training = run.config.training
    prepare(
        tmp_path / "cache",
        run.data.window,
        len(run.data.windows),
        LoadedSource(run.teacher, run.vocab_size),
        run.teacher_sha256,
        training,
        k=k,
        vocabulary=Vocabulary.of(run.vocab_size, run.tokenizer),
    )
    cache = TopKCache.open(tmp_path / "cache", training, run.teacher_sha256, Vocabulary.of(300, run.tokenizer), "cpu")
    full = preflight(run, tmp_path, forced=False)
    kept = preflight(replace(run, provider=cache), tmp_path, forced=False)
    assert abs(kept.loss - kept.reference_loss) < 0.005
    assert kept.loss < full.loss - 0.05 if k < 300 else kept.loss == pytest.approx(full.loss, abs=0.005)
    elsewhere = preflight(replace(run, provider=cache, teacher=None), tmp_path, forced=False)
    assert elsewhere.loss == pytest.approx(kept.loss, abs=1e-6)
    assert elsewhere.reference_loss == pytest.approx(elsewhere.loss, abs=1e-4)


def test_a_cache_that_lies_is_refused(make_run: Callable[..., Run], tmp_path: Path) -> None:
    """Entries of another window under this one's key: the online teacher says otherwise."""
    run = make_run()
    assert run.teacher is not None

    class Lying:
        """Answers with what the teacher says about the ids backwards."""

        def answer(self, batch: Any) -> Any:
            assert run.teacher is not None
            return run.teacher.answer(replace(batch, ids=batch.ids.flip(1)))

    with pytest.raises(ExperimentError, match="loss of one window is"):
        preflight(replace(run, provider=Lying()), tmp_path, forced=False)


def _of_another_language(init: Path, folder: Path) -> Path:
    """The init with a tokenizer of as many entries that was made otherwise: words with scores, and no merges."""
    shutil.copytree(init, folder)
    written = json.loads((folder / "model" / "tokenizer.json").read_text(encoding="utf-8"))
    ends = {each["id"]: each["content"] for each in written["added_tokens"]}
    words = [[ends.get(number, f"w{number}"), -1.0] for number in range(300)]
    written["model"] = {"type": "Unigram", "unk_id": 1, "vocab": words, "byte_fallback": False}
    (folder / "model" / "tokenizer.json").write_text(json.dumps(written), encoding="utf-8")
    return folder


def test_a_student_of_another_tokenizer_is_refused_before_anything_is_made(
    make_run: Callable[..., Run], init_evidence: Path, teacher_folder: Path, shards_folder: Path, tmp_path: Path
) -> None:
    """By a teacher that is here, and by what one has said into a cache when it is not; with what to do."""
    run = make_run()
    assert run.teacher is not None
    vocabulary, source = Vocabulary.of(run.vocab_size, run.tokenizer), LoadedSource(run.teacher, run.vocab_size)
    training, cache = run.config.training, tmp_path / "cache"
    prepare(cache, run.data.window, 2, source, run.teacher_sha256, training, k=4, vocabulary=vocabulary)
    other = _of_another_language(init_evidence, tmp_path / "other")
    for teacher, place, message in (
        (teacher_folder, None, "tokens of the student have another id in its teacher, such as"),
        (None, {"topk": str(cache)}, "prepared otherwise: vocabulary_sha256 is"),
    ):
        settings = training.model_dump(mode="json")
        config = run_config(settings, teacher=teacher, init=other, corpus=shards_folder, teacher_cache=place)
        with pytest.raises(ExperimentError, match=message) as refused:
            build(TrainConfig.model_validate_json(json.dumps(config)), ALONE)
        assert "one tokenizer" in (refused.value.hint or "")


def test_the_memory_of_this_machine_is_read() -> None:
    """The probe itself: between a megabyte and a petabyte are available."""
    assert 2**20 < module._available_memory("cpu") < 2**50


def test_uneven_batches_and_missing_parts_are_refused(make_run: Callable[..., Run]) -> None:
    """KD without a teacher, and a batch that ranks cannot share."""
    with pytest.raises(MissingInputsError, match=r"kd_weight is 0\.7, but the run names no teacher"):
        make_run(teacher=None)
    run = make_run()
    with pytest.raises(ExperimentError, match="a batch of 8 windows cannot be shared by 3 ranks in micro-batches of 4"):
        build(run.config, replace(ALONE, world_size=3))
