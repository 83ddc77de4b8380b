"""A run that several processes share, as an experiment: the same student, progress passed on, failures in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from refute.disk import file_sha256
from refute.engines.distill.experiments.train import train
from refute.engines.distill.training import step
from refute.errors import MissingInputsError, NonFiniteError, RefuteError
from refute.isolation.start import compiled_sources
from refute.job import Job
from training_runs import BASE, each_step, run_config, summary, weights

pytestmark = pytest.mark.exhaustive

SHORT = {"steps": 3, "batch_size": 4, "micro_batch_size": 2, "eval_every": 2, "eval_windows": 3, "checkpoint_every": 2}
TRAINING = {**BASE, **SHORT}


@pytest.fixture
def shared(
    make_job: Callable[..., Job], teacher_folder: Path, init_evidence: Path, corpus_evidence: Path
) -> Callable[..., Job]:
    """Makes jobs for so many processes."""

    def make(processes: int, **changes: object) -> Job:
        config = run_config(
            TRAINING, teacher=teacher_folder, init=init_evidence, corpus=corpus_evidence, processes=processes
        )
        return make_job(f"of-{processes}", {**config, **changes})

    return make


def test_two_processes_train_the_student_of_one(shared: Callable[..., Job]) -> None:
    """Weights equal to 1e-5, every step reported once, the summary says how many took part, and it is known of which
    sources the others ran."""
    taken: list[int] = []
    alone, together = shared(1), shared(2)
    train(alone)
    train(Job(together.name, together.config, {}, together.out, together.scratch, each_step(taken.append)))
    others = weights(together.out)
    for name, tensor in weights(alone.out).items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-5, atol=1e-6)
    assert taken == [1, 2, 3]
    assert summary(together.out)["ranks"] == 2
    assert compiled_sources()[step.__name__] == file_sha256(Path(step.__file__ or ""))


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"corpus": "/nowhere"}, MissingInputsError, r"rank \d: /nowhere holds no manifest.json"),
        ({"training": {**TRAINING, "learning_rate": 1e30}}, NonFiniteError, r"rank \d: .* at step \d"),
    ],
)
def test_a_failing_rank_says_why(
    shared: Callable[..., Job], changes: dict[str, object], kind: type[RefuteError], words: str
) -> None:
    """Its own error arrives, of its own kind, and no rank is left waiting for another."""
    with pytest.raises(kind, match=words):
        train(shared(2, **changes))
