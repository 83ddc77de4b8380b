"""The teacher on disk: read back it is the teacher, and a cache of anything else is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from refute.engines.distill.data.packing import Batch, pack
from refute.engines.distill.teacher import topk_cache
from refute.engines.distill.teacher.loaded import Teacher, load_teacher
from refute.engines.distill.teacher.topk_cache import TopKCache, estimate_bytes, prepare
from refute.engines.distill.teacher.topk_source import LoadedSource, TopEntries
from refute.engines.model.vocabulary import Vocabulary
from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.spec.experiments.training import Training
from refute.spec.release import HfModel
from training_runs import BASE, KilledError, each_step, kill_at

WIDTH, WINDOWS = 300, 10
SETTINGS: dict[str, Any] = {**BASE, "steps": 4, "batch_size": 2, "micro_batch_size": 2}
TRAINING = Training(**SETTINGS)
SHA = "a" * 64
VOCABULARY = Vocabulary(WIDTH, "c" * 64)


@pytest.fixture(scope="module")
def teacher(teacher_folder: Path) -> Teacher:
    """A random Llama of four layers."""
    return load_teacher(HfModel(format="hf", path="teacher"), teacher_folder, device="cpu")


@pytest.fixture(scope="module")
def windows(corpus_evidence: Path) -> torch.Tensor:
    """Ten windows of 16 ids."""
    return load_file(corpus_evidence / "train.safetensors")["tokens"].long()[:WINDOWS]


@pytest.fixture
def make(tmp_path: Path, teacher: Teacher, windows: torch.Tensor) -> Callable[..., dict[str, Any]]:
    """Prepares a cache in `cache/` of the test's folder, with changes to its arguments."""

    def run(**changes: Any) -> dict[str, Any]:
        given: dict[str, Any] = {
            "folder": tmp_path / "cache",
            "batch_of": lambda index: pack(windows[[index]], None),
            "windows": WINDOWS,
            "source": LoadedSource(teacher, changes.get("vocabulary", VOCABULARY).size),
            "teacher_sha256": SHA,
            "training": TRAINING,
            "k": 8,
            "vocabulary": VOCABULARY,
        } | changes
        return prepare(**given)

    return run


def _open(folder: Path, training: Training = TRAINING, sha256: str = SHA, width: int = WIDTH) -> TopKCache:
    return TopKCache.open(folder, training, sha256, replace(VOCABULARY, size=width), "cpu")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("k", [1, 8, 64, WIDTH])
def test_what_is_read_is_what_the_teacher_says(
    tmp_path: Path, make: Callable[..., dict[str, Any]], teacher: Teacher, windows: torch.Tensor, k: int
) -> None:
    """Ids are the k largest, log-probabilities at T are the teacher's to half precision, the tail is the rest."""
    manifest = make(k=k)
    batch = pack(windows[[7, 2, 2]], None)
    known = _open(tmp_path / "cache").entries(batch)
    logits = teacher.logits(batch.ids).flatten(0, 1).double()
    expected = (logits / 2.0).log_softmax(dim=-1)
    assert torch.equal(known.ids.sort(dim=1).values, logits.topk(k, dim=1).indices.sort(dim=1).values)
    top = known.logits.double() / 2.0
    whole = torch.logaddexp(top.logsumexp(dim=1), known.tail.double())
    torch.testing.assert_close(top - whole[:, None], expected.gather(1, known.ids), atol=5e-3, rtol=2e-3)
    rest = expected.scatter(1, known.ids, -torch.inf).logsumexp(dim=1)
    torch.testing.assert_close((known.tail.double() - whole).exp(), rest.exp(), atol=2e-3, rtol=2e-3)
    assert manifest["read_back_cosine"] > 0.999
    everything = torch.cat([teacher.logits(windows[:, :-1])]).flatten(0, 1).double().softmax(dim=-1)
    tail = 1 - everything.topk(k, dim=1).values.sum(dim=1)
    assert manifest["tail_mass_mean"] == pytest.approx(tail.mean().item(), abs=1e-5)
    assert manifest["tail_mass_max"] == pytest.approx(tail.max().item(), abs=1e-5)


def test_a_wider_teacher_is_cut_before_the_rest_is_summed(
    tmp_path: Path, make: Callable[..., dict[str, Any]], teacher: Teacher, windows: torch.Tensor
) -> None:
    """No id beyond the student's vocabulary is kept, and the tail does not count what was cut off."""
    make(vocabulary=replace(VOCABULARY, size=290), k=290)
    known = _open(tmp_path / "cache", width=290).entries(pack(windows[[0]], None))
    assert int(known.ids.max()) == 289
    assert bool(known.tail.isneginf().all())
    with pytest.raises(ExperimentError, match="vocab_size is 290, the run has 300"):
        _open(tmp_path / "cache")


def test_the_mask_of_documents_is_the_runs(
    tmp_path: Path, make: Callable[..., dict[str, Any]], teacher: Teacher, windows: torch.Tensor
) -> None:
    """With a mask the teacher is asked with restarting positions, and the cache serves only runs that mask, too."""
    end = int(windows[0, 4])
    masked = Training(**{**SETTINGS, "document_mask": True})
    make(training=masked, batch_of=lambda index: pack(windows[[index]], end), k=WIDTH)
    batch = pack(windows[[0]], end)
    assert batch.positions is not None
    assert int((batch.positions == 0).sum()) > 1
    known = _open(tmp_path / "cache", masked).entries(batch)
    expected = teacher.logits(batch.ids, batch.positions)[0].log_softmax(dim=-1).gather(1, known.ids)
    torch.testing.assert_close(known.logits.log_softmax(dim=-1), expected, atol=1e-2, rtol=2e-3)
    with pytest.raises(ExperimentError, match="document_mask is True, the run has False"):
        _open(tmp_path / "cache")


@pytest.mark.parametrize(
    ("training", "sha256", "message"),
    [
        ({"temperature": 1.0}, SHA, r"temperature is 2\.0, the run has 1\.0"),
        ({}, "b" * 64, "teacher_sha256 is a+, the run has b+"),
        ({"seq_len": 12}, SHA, "positions is 15, the run has 11"),
    ],
)
def test_a_cache_of_something_else_is_refused_with_both_values(
    tmp_path: Path, make: Callable[..., dict[str, Any]], training: dict[str, Any], sha256: str, message: str
) -> None:
    """Other temperature, teacher or window length."""
    make()
    with pytest.raises(ExperimentError, match=message):
        _open(tmp_path / "cache", Training(**{**SETTINGS, **training}), sha256)


@pytest.mark.parametrize("name", ["ids.bin", "logits.bin", "tail.bin", "keys.bin"])
def test_an_altered_file_is_named(tmp_path: Path, make: Callable[..., dict[str, Any]], name: str) -> None:
    """One flipped bit, or a file that is gone."""
    make()
    path = tmp_path / "cache" / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(ExperimentError, match=rf"{name} differ from the manifest"):
        _open(tmp_path / "cache")
    path.unlink()
    with pytest.raises(ExperimentError, match=rf"no cache that can be read: .*{name}"):
        _open(tmp_path / "cache")


def test_rows_in_another_order_cannot_be_mistaken(
    tmp_path: Path, make: Callable[..., dict[str, Any]], windows: torch.Tensor
) -> None:
    """Rows are found by their window's ids, so their order does not matter; an unknown window has no row."""
    make()
    straight = _open(tmp_path / "cache").entries(pack(windows, None))
    backwards = list(reversed(range(WINDOWS)))
    make(folder=tmp_path / "other", batch_of=lambda index: pack(windows[[backwards[index]]], None))
    other = _open(tmp_path / "other").entries(pack(windows, None))
    for name in ("ids", "logits", "tail"):
        assert torch.equal(getattr(straight, name), getattr(other, name))
    changed = windows[[3]].clone()
    changed[0, 5] += 1
    with pytest.raises(ExperimentError, match="no row for a window of this corpus"):
        _open(tmp_path / "cache").entries(pack(changed, None))
    with pytest.raises(ExperimentError, match="no row for a window of this corpus"):
        _open(tmp_path / "cache").entries(pack(windows[[3], 1:], None))


def test_rows_that_changed_places_are_noticed(tmp_path: Path, make: Callable[..., dict[str, Any]]) -> None:
    """Keys in another order than their rows: the digests say so, as they would for any damage."""
    make()
    path = tmp_path / "cache" / "keys.bin"
    keys = path.read_bytes()
    path.write_bytes(keys[32:64] + keys[:32] + keys[64:])
    with pytest.raises(ExperimentError, match=r"keys\.bin differ"):
        _open(tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("cut", [None, "ids.bin", "logits.bin", "tail.bin", "keys.bin", "mass.bin"])
def test_a_killed_preparation_continues_where_it_was(
    tmp_path: Path, make: Callable[..., dict[str, Any]], cut: str | None
) -> None:
    """Stopped after six windows, with a half-written row or not: the rest is asked, the bytes are a straight run's."""
    straight = make(folder=tmp_path / "straight")
    with pytest.raises(KilledError):
        make(report=each_step(kill_at(6), stage="ask the teacher"))
    with pytest.raises(MissingInputsError, match="no finished cache"):
        _open(tmp_path / "cache")
    if cut is not None:
        path = tmp_path / "cache" / cut
        path.write_bytes(path.read_bytes()[:-3])
    asked: list[int] = []
    continued = make(report=lambda stage, step, total, facts: asked.append(step))
    assert asked == list(range(7 if cut is None else 6, WINDOWS + 1))
    assert continued == straight
    assert _contents(tmp_path / "cache") == _contents(tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"k": 5},
        {"k": 16},
        {"teacher_sha256": "b" * 64},
        {"training": Training(**{**SETTINGS, "temperature": 1.0})},
        {"training": Training(**{**SETTINGS, "document_mask": True})},
        {"vocabulary": replace(VOCABULARY, size=290)},
        {"vocabulary": replace(VOCABULARY, sha256="d" * 64)},
    ],
)
def test_rows_of_another_preparation_are_never_continued(
    tmp_path: Path, make: Callable[..., dict[str, Any]], change: dict[str, Any]
) -> None:
    """Begun with another k, teacher, temperature, mask or width: all rows are asked again."""
    expected = make(folder=tmp_path / "straight", **change)
    with pytest.raises(KilledError):
        make(report=each_step(kill_at(6), stage="ask the teacher"))
    asked: list[int] = []
    found = make(report=lambda stage, step, total, facts: asked.append(step), **change)
    assert asked == list(range(1, WINDOWS + 1))
    assert found == expected
    assert _contents(tmp_path / "cache") == _contents(tmp_path / "straight")


@pytest.mark.slow
def test_a_finished_cache_is_not_taken_for_another_teachers(
    tmp_path: Path, make: Callable[..., dict[str, Any]]
) -> None:
    """Preparing again for another teacher asks it about everything; for the same one, about nothing."""
    make()
    asked: list[int] = []
    make(report=lambda stage, step, total, facts: asked.append(step))
    assert asked == []
    make(report=lambda stage, step, total, facts: asked.append(step), teacher_sha256="b" * 64)
    assert asked == list(range(1, WINDOWS + 1))


def test_rows_of_other_windows_are_not_continued(
    tmp_path: Path, make: Callable[..., dict[str, Any]], windows: torch.Tensor
) -> None:
    """A corpus that changed under a stopped preparation: its rows are made anew; one that shrank keeps the first."""
    with pytest.raises(KilledError):
        make(report=each_step(kill_at(6), stage="ask the teacher"))
    other = windows.flip(0)
    make(batch_of=lambda index: pack(other[[index]], None))
    _open(tmp_path / "cache").entries(pack(windows, None))
    assert make(batch_of=lambda index: pack(other[[index]], None), windows=4)["windows"] == 4
    cache = _open(tmp_path / "cache")
    cache.entries(pack(other[:4], None))
    with pytest.raises(ExperimentError, match="no row"):
        cache.entries(pack(other[4:5], None))


def test_a_disk_that_is_too_small_is_told_before_the_first_question(
    make: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sizes are named, and the teacher was not asked; an estimate is what the files then take."""
    needed = estimate_bytes(WINDOWS, 15, 8)
    usage = shutil.disk_usage(Path())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    asked: list[int] = []
    with pytest.raises(UsageError, match=r"cache needs 0\.0 GB more, .* has 0\.0 GB free"):
        make(report=lambda stage, step, total, facts: asked.append(step))
    assert asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    make()


def test_the_estimate_is_the_size_on_disk(tmp_path: Path, make: Callable[..., dict[str, Any]]) -> None:
    """Six bytes an entry and a tail a position, a key and two masses a window."""
    make(k=5)
    found = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.bin"))
    assert found == estimate_bytes(WINDOWS, 15, 5) == WINDOWS * (15 * (5 * 6 + 4) + 32 + 8)


@pytest.mark.parametrize("k", [0, -1, WIDTH + 1])
def test_a_k_that_does_not_fit_is_refused(make: Callable[..., dict[str, Any]], k: int) -> None:
    """Between one and the whole vocabulary."""
    with pytest.raises(UsageError, match=f"between 1 and the student's vocabulary of {WIDTH}, found {k}"):
        make(k=k)


def test_a_cache_that_does_not_point_where_the_teacher_points_is_refused(
    tmp_path: Path, make: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits that were written wrongly are found by reading back, and no finished cache is left behind."""
    written = topk_cache._row

    def mirrored(entries: TopEntries, batch: Batch) -> tuple[dict[str, bytes], float]:
        return written(replace(entries, ids=WIDTH - 1 - entries.ids), batch)

    monkeypatch.setattr(topk_cache, "_row", mirrored)
    with pytest.raises(ExperimentError, match=r"has cosine -?0\.\d+ to its teacher, expected 0\.999"):
        make()
    assert not (tmp_path / "cache" / "topk.json").exists()


def test_nan_in_a_cache_is_no_good_cosine(make: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail of NaN makes the cosine unknown, which must count as bad and not as unnoticed."""
    written = topk_cache._row

    def poisoned(entries: TopEntries, batch: Batch) -> tuple[dict[str, bytes], float]:
        return written(replace(entries, tail=torch.full_like(entries.tail, torch.nan)), batch)

    monkeypatch.setattr(topk_cache, "_row", poisoned)
    with pytest.raises(ExperimentError, match=r"has cosine -1\.0 to its teacher"):
        make()


def test_a_manifest_that_is_damaged_is_told_as_such(tmp_path: Path, make: Callable[..., dict[str, Any]]) -> None:
    """Cut short, or without its digests."""
    make()
    path = tmp_path / "cache" / "topk.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    for text in ('{"k": 8,', json.dumps({name: value for name, value in facts.items() if name != "sha256"})):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ExperimentError, match="no cache that can be read"):
            _open(tmp_path / "cache")
