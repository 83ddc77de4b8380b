"""Sampling: the distribution by its definition, and samples that depend on seed, task and number alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from refute.engines.humaneval.backends.local.generate import generate
from refute.engines.humaneval.backends.local.top_p_sampling import sample_top_p
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import PROTOCOLS
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sampler import GREEDY, Sampler, make_sampler
from refute.errors import UsageError

CHAT = PROTOCOLS["chat_primed"]
MakeModel = Callable[[int], LlamaForCausalLM]


def test_draws_follow_the_truncated_softmax() -> None:
    """An even grid of chances meets each token as often as its share of the smallest set that reaches top-p."""
    shares = torch.tensor([0.05, 0.4, 0.25, 0.2, 0.1])
    logits, grid = (0.5 * shares.log())[None], 1000
    rows = logits.expand(grid, -1)
    chances = [(index + 0.5) / grid for index in range(grid)]
    full = Counter(sample_top_p(rows, chances, temperature=0.5, top_p=1.0))
    assert [full[token] / grid for token in range(5)] == pytest.approx(shares.tolist(), abs=2 / grid)
    # 0.4 + 0.25 < 0.8 <= 0.4 + 0.25 + 0.2: three tokens stay.
    cut = Counter(sample_top_p(rows, chances, temperature=0.5, top_p=0.8))
    assert sorted(cut) == [1, 2, 3]
    assert cut[1] / grid == pytest.approx(0.4 / 0.85, abs=2 / grid)
    assert set(sample_top_p(rows, chances, temperature=0.5, top_p=0.01)) == {1}


def test_the_largest_chance_and_a_low_temperature_stay_within_the_vocabulary() -> None:
    """No rounding reaches behind the last token that has a probability, and T near 0 is the argmax."""
    logits = torch.tensor([[0.0, 3.0, 2.9, -torch.inf]]).expand(3, -1)
    assert sample_top_p(logits, [0.0, 0.5, 1.0 - 2**-53], temperature=1.0, top_p=1.0) == [0, 1, 2]
    assert sample_top_p(logits, [0.0, 0.5, 1.0 - 2**-53], temperature=1e-4, top_p=1.0) == [1, 1, 1]


def sample(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: list[Problem],
    sampler: Sampler,
    batch_size: int = 4,
    finished: frozenset[tuple[str, int]] = frozenset(),
) -> dict[tuple[str, int], Completion]:
    """All completions by task and sample."""
    found = generate(
        model,
        tokenizer,
        problems,
        protocol=CHAT,
        max_new_tokens=12,
        batch_size=batch_size,
        sampler=sampler,
        finished=finished,
    )
    return {completion.key: completion for completion in found}


@pytest.mark.slow
def test_samples_depend_on_seed_task_and_number_alone(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]
) -> None:
    """Not on the batch, the order of the problems, or how many others are drawn; another seed gives others."""
    model, sampler = make_model(3), make_sampler(n=4, temperature=1.0, top_p=0.95, seed=17)
    found = sample(model, tokenizer, problems, sampler)
    assert sorted(found) == [(f"Own/{task}", number) for task in range(3) for number in range(4)]
    assert sample(model, tokenizer, problems, sampler, batch_size=1) == found
    assert sample(model, tokenizer, problems[::-1], sampler, batch_size=5) == found
    fewer = make_sampler(n=2, temperature=1.0, top_p=0.95, seed=17)
    assert sample(model, tokenizer, problems, fewer).items() <= found.items()
    other = make_sampler(n=4, temperature=1.0, top_p=0.95, seed=18)
    assert sample(model, tokenizer, problems, other) != found
    for problem in problems:
        assert len({found[problem.task_id, number].text for number in range(4)}) > 1


@pytest.mark.slow
def test_a_resumed_run_draws_the_missing_samples_as_they_were(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]
) -> None:
    """A group with one missing row is drawn again in full, and gives the same."""
    model, sampler = make_model(3), make_sampler(n=4, temperature=1.0, top_p=0.95, seed=17)
    found = sample(model, tokenizer, problems, sampler, batch_size=1)
    again = sample(model, tokenizer, problems, sampler, finished=frozenset([*found][:-1]), batch_size=1)
    assert len(again) == 4
    assert again.items() <= found.items()


def test_temperature_zero_is_greedy_and_has_one_sample(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]
) -> None:
    """T = 0 is the argmax; as T falls the draws become it; several samples of it are refused."""
    model = make_model(3)
    assert make_sampler(n=1, temperature=0.0, top_p=0.95, seed=3) == GREEDY
    cold = make_sampler(n=1, temperature=1e-5, top_p=0.95, seed=3)
    assert sample(model, tokenizer, problems, cold) == sample(model, tokenizer, problems, GREEDY)
    with pytest.raises(UsageError, match="n=2 samples at temperature 0 would all be the same"):
        make_sampler(n=2, temperature=0.0, top_p=0.95, seed=3)
    for n, temperature, top_p in ((0, 1.0, 1.0), (1, -1.0, 1.0), (1, float("nan"), 1.0), (1, 1.0, 0.0), (1, 1.0, 1.1)):
        with pytest.raises(UsageError, match="expected n >= 1"):
            make_sampler(n=n, temperature=temperature, top_p=top_p, seed=3)
