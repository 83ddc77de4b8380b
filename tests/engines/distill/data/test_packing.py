"""Packed documents: one window answers, at every position, what its documents answer alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from refute.engines.distill.data.packing import IGNORED, pack
from refute.engines.distill.training.step import model_inputs

END = 0
FIRST, SECOND, OPEN = [5, 7, 9, END], [11, END], [20, 21, 22, 23]
WINDOW = torch.tensor([[*FIRST, *SECOND, *OPEN]])


@pytest.fixture(scope="module")
def model(teacher_folder: Path) -> PreTrainedModel:
    """A Llama of four layers in evaluation mode."""
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(teacher_folder).eval()
    return loaded


@torch.no_grad()
def _alone(model: PreTrainedModel, ids: list[int]) -> Tensor:
    logits: Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits


@pytest.mark.slow
@torch.no_grad()
def test_each_document_is_answered_as_if_it_stood_alone(model: PreTrainedModel) -> None:
    """With a mask, logits of a packed window are those of its documents one by one; without, they are not."""
    batch = pack(WINDOW, END)
    packed = model(**model_inputs(batch), use_cache=False).logits[0]
    apart = torch.cat([_alone(model, ids) for ids in (FIRST, SECOND, OPEN[:-1])])
    torch.testing.assert_close(packed, apart, atol=1e-5, rtol=1e-5)
    crossing = model(**model_inputs(pack(WINDOW, None)), use_cache=False).logits[0]
    assert (crossing[len(FIRST) :] - apart[len(FIRST) :]).abs().amax(dim=1).min() > 1e-3


@torch.no_grad()
def test_a_mask_does_not_depend_on_what_else_is_in_the_batch(model: PreTrainedModel) -> None:
    """Windows with other document ends beside a window, or a training mode, do not change its logits."""
    windows = torch.cat([WINDOW, torch.full_like(WINDOW, END), torch.arange(30, 40)[None]])
    together = model(**model_inputs(pack(windows, END)), use_cache=False).logits
    model.train()
    for row in range(len(windows)):
        alone = model(**model_inputs(pack(windows[[row]], END)), use_cache=False).logits[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)
    model.eval()


BEGIN = 299


@torch.no_grad()
def test_each_document_begins_as_the_model_reads_it(model: PreTrainedModel) -> None:
    """With a beginning, each document's logits are those of it alone behind that id, every id of it is learnt once,
    and no document's end is read; without a mask the window begins once and is one text."""
    window = torch.tensor([[BEGIN, *FIRST, *SECOND, *OPEN]])
    batch = pack(window, END, BEGIN)
    assert batch.labels.tolist() == [[*FIRST, *SECOND, *OPEN]]
    texts = [[BEGIN, *document] for document in (FIRST, SECOND, OPEN)]
    assert batch.ids.tolist() == [[number for text in texts for number in text[:-1]]]
    packed = model(**model_inputs(batch), use_cache=False).logits[0]
    apart = torch.cat([_alone(model, text[:-1]) for text in texts])
    torch.testing.assert_close(packed, apart, atol=1e-5, rtol=1e-5)
    whole = pack(window, None, BEGIN)
    assert (whole.ids.tolist(), whole.labels.tolist()) == (window[:, :-1].tolist(), window[:, 1:].tolist())


def test_positions_restart_and_no_document_predicts_the_next() -> None:
    """Positions count within a document; the end of one is labelled with nothing, the end itself is learnt."""
    batch = pack(WINDOW, END)
    assert batch.ids.tolist() == [[5, 7, 9, 0, 11, 0, 20, 21, 22]]
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 1, 2, 3, 0, 1, 0, 1, 2]]
    assert batch.labels.tolist() == [[7, 9, END, IGNORED, END, IGNORED, 21, 22, 23]]
    assert batch.supervised == 7


def test_a_window_of_document_ends_supervises_nothing() -> None:
    """Empty documents, one id each: every position starts anew and none has a label."""
    batch = pack(torch.full((2, 5), END), END)
    assert batch.positions is not None
    assert batch.positions.eq(0).all()
    assert batch.supervised == 0


def test_without_a_mask_a_window_is_one_text() -> None:
    """Every next id is a label, and positions are left to the model."""
    batch = pack(WINDOW, None)
    assert batch.positions is None
    assert batch.labels.tolist() == [WINDOW[0, 1:].tolist()]


@pytest.mark.parametrize("end", [None, END])
def test_micro_batches_are_the_batch_in_order(end: int | None) -> None:
    """Five windows in twos make 2, 2, 1, which put together are the batch again."""
    windows = torch.randint(0, 30, (5, 8), generator=torch.Generator().manual_seed(1))
    batch = pack(windows, end)
    parts = batch.split(2)
    assert [len(part.ids) for part in parts] == [2, 2, 1]
    for whole, *pieces in zip(batch.tensors(), *(part.tensors() for part in parts), strict=True):
        assert torch.equal(torch.cat(pieces), whole)
    assert sum(part.supervised for part in parts) == batch.supervised
    assert len(batch.tensors()) == (2 if end is None else 3)
