"""The share of the teacher's time that prefetching hides behind the student's.

python benchmarks/prefetch.py [--device cuda]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from kd_step import arguments, make, training_of
from measure import compare, machine, table
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.packing import Batch, pack
from refute.engines.distill.teacher.loaded import Teacher
from refute.engines.distill.teacher.prefetch import prefetched
from refute.engines.distill.training.optimizer import build_optimizer
from refute.engines.distill.training.step import StepModule

STEPS = 8


def main() -> None:
    """Print one table and the share."""
    chosen = arguments(__doc__, rounds=3)
    torch.manual_seed(0)
    training = training_of(chosen)
    frozen = make(chosen.teacher_layers, chosen).eval().requires_grad_(requires_grad=False)
    teacher = Teacher(frozen, PreTrainedTokenizerFast.__new__(PreTrainedTokenizerFast), 0, plain_head=True)
    module = StepModule(make(chosen.layers, chosen), training)
    optimizer = build_optimizer(module, training)
    windows = torch.randint(0, chosen.vocabulary, (STEPS, chosen.batch, chosen.tokens), device=chosen.device)
    batches = [pack(window, None) for window in windows]
    known = teacher.answer(batches[0])

    def learn(batch: Batch, answer: object) -> None:
        total, *_ = module(batch, answer, batch.supervised)
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def taught_once() -> None:
        for batch in batches:
            learn(batch, known)

    def both(depth: int) -> Callable[[], None]:
        def run() -> None:
            feed: Iterator[tuple[Batch, object]] = prefetched(
                teacher.answer, batches, depth=depth, device=chosen.device, patience_s=600
            )
            for batch, answer in feed:
                learn(batch, answer)

        return run

    pieces = {
        "teacher alone": lambda: [teacher.answer(batch) for batch in batches],
        "student alone": taught_once,
        "both, one after the other": both(0),
        "both, prefetched (depth 2)": both(2),
    }
    figures = compare(pieces, rounds=chosen.rounds, device=chosen.device, only=chosen.only)
    print(table(f"Prefetch, {STEPS} steps", figures, "both, one after the other"))
    alone, after, ahead = (
        figures[name].wall_s for name in ("teacher alone", "both, one after the other", "both, prefetched (depth 2)")
    )
    print(f"hidden: {100 * (after - ahead) / alone:.0f} % of the teacher's time\n")
    print(machine(chosen.device))


if __name__ == "__main__":
    main()
