"""The auditors cut windows into texts by their own means, and give the model what the engine gives it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from refute.auditors.windows import Corpus, batch_digests, texts
from refute.engines.distill.data.batch_order import BatchOrder
from refute.engines.distill.data.packing import IGNORED, batch_sha256, pack
from refute.spec.experiments.training import Training
from training_runs import BASE

END, BEGIN = 3, 7


@pytest.mark.parametrize("begin", [None, BEGIN])
@pytest.mark.parametrize("end", [None, END])
def test_auditors_and_engine_read_the_same_windows(end: int | None, begin: int | None) -> None:
    """Batches have one digest, and the texts predict, together, exactly the labels of the batch, in order."""
    windows = np.random.default_rng(5).integers(0, 6, (12, 16)).astype(np.int32)
    if begin is not None:
        windows[:, 0] = begin
    corpus = Corpus(windows, windows, end, begin)
    training = Training.model_validate({**BASE, "steps": 5, "batch_size": 4, "micro_batch_size": 2, "seed": 3})
    order, tensor = BatchOrder(12, 4, 3), torch.from_numpy(windows).long()
    engine = [batch_sha256(pack(tensor[order.batch(step)], end, begin).split(2)) for step in range(5)]
    assert list(batch_digests(corpus, training, 1)) == engine
    for row, window in enumerate(windows):
        labels = pack(tensor[[row]], end, begin).labels[0]
        predicted = [number for text in texts(window, corpus) for number in text[1:].tolist()]
        assert predicted == labels[labels != IGNORED].tolist()
