"""Greedy decoding against transformers' own `generate`, row by row."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AddedToken,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from refute.engines.humaneval.backends.local.generate import end_ids, generate
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import PROTOCOLS, build_prompt, truncate
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sampler import make_sampler
from refute.errors import ExperimentError, NonFiniteError
from refute.spec.experiments.evidence.humaneval import ModelCall

CHAT = PROTOCOLS["chat_primed"]
BUDGET = 40
MakeModel = Callable[[int], LlamaForCausalLM]


@pytest.fixture
def many(problems: list[Problem]) -> list[Problem]:
    """Ten problems of different lengths."""
    return [
        Problem(f"T/{n}", problem.prompt.replace('"""', '"""' + "n " * (6 * n), 1), *([""] * 3))
        for n, problem in enumerate(problems * 3 + problems[:1])
    ]


def sample(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem], batch_size: int
) -> dict[str, Completion]:
    """All completions by task id."""
    found = generate(model, tokenizer, problems, protocol=CHAT, max_new_tokens=BUDGET, batch_size=batch_size)
    return {completion.task_id: completion for completion in found}


def reference(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, problem: Problem) -> str:
    """What transformers' `generate` makes of one problem alone, cut at the protocol's stop."""
    prompt = build_prompt(problem, tokenizer, CHAT)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    ends = sorted(end_ids(model, tokenizer))
    decoder: Any = model
    out = decoder.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=BUDGET, do_sample=False, eos_token_id=ends
    )
    new = [token for token in out[0, ids.shape[1] :].tolist() if token not in ends]
    return truncate(str(tokenizer.decode(new)), CHAT)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_text_is_that_of_one_row_alone(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem], batch_size: int
) -> None:
    """Padding, shared cache and departing neighbours leave a row's greedy text as it is."""
    model = make_model(3)
    found = sample(model, tokenizer, many, batch_size)
    assert {task_id: each.text for task_id, each in found.items()} == {
        problem.task_id: reference(model, tokenizer, problem) for problem in many
    }
    assert len({each.text for each in found.values()}) > 5
    assert len({each.new_tokens for each in found.values()}) > 2


@pytest.mark.slow
def test_sliding_window_is_honoured(
    tokenizer: PreTrainedTokenizerFast, many: list[Problem], sizes: dict[str, Any]
) -> None:
    """A model that sees only its last tokens is decoded as transformers decodes it."""
    torch.manual_seed(5)
    model = MistralForCausalLM(MistralConfig(**sizes, sliding_window=12)).eval()
    found = sample(model, tokenizer, many, 4)
    for problem in many:
        assert found[problem.task_id].text == reference(model, tokenizer, problem)


@pytest.mark.slow
def test_every_row_says_why_it_ended(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem]
) -> None:
    """Only a row at the token budget is `length`, and all three endings occur among these rows."""
    found = [each for seed in (0, 3, 6) for each in sample(make_model(seed), tokenizer, many, 10).values()]
    for completion in found:
        assert 1 <= completion.new_tokens <= BUDGET
        if completion.new_tokens < BUDGET:
            assert completion.stop in ("eos", "stop")
        assert "<|end|>" not in completion.text
    assert {completion.stop for completion in found} == {"eos", "stop", "length"}


@pytest.mark.slow
def test_a_penalty_in_the_models_generation_config_has_no_effect(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem]
) -> None:
    """Greedy means the argmax of the logits, whatever generation_config.json recommends."""
    model = make_model(3)
    plain = sample(model, tokenizer, many, 10)
    assert model.generation_config is not None
    model.generation_config.repetition_penalty = 5.0
    assert sample(model, tokenizer, many, 10) == plain


def test_nan_weights_are_an_error_that_names_the_task(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]
) -> None:
    """A model that computes NaN is never scored as a model that answers wrongly."""
    model = make_model(3)
    with torch.no_grad():
        model.lm_head.weight[17] = float("nan")
    with pytest.raises(NonFiniteError, match=r"Own/1: the logits of new token 1 are NaN"):
        sample(model, tokenizer, problems, 3)


def test_a_group_is_left_out_only_when_all_its_tasks_are_finished(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem]
) -> None:
    """Resuming recomputes a half-finished group in full, so that the same rows are decoded together."""
    model = make_model(3)
    prompts = {each.task_id: build_prompt(each, tokenizer, CHAT) for each in many}
    lengths = {task_id: len(tokenizer(prompt)["input_ids"]) for task_id, prompt in prompts.items()}
    first = sorted(lengths, key=lambda task_id: -lengths[task_id])[:5]
    done = {(task_id, 0) for task_id in first}
    found = generate(model, tokenizer, many, protocol=CHAT, max_new_tokens=2, batch_size=1, finished=done)
    expected = {problem.task_id for problem in many} - set(first[:4])
    assert {completion.task_id for completion in found} == expected


@pytest.mark.slow
def test_a_row_that_ends_makes_place_for_the_next(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem]
) -> None:
    """Three places stay full while problems wait, and all prompts' common beginning goes through the model once."""
    model, steps, asked = make_model(3), list[int](), list[ModelCall]()
    tokens = _count_tokens(model)
    alone = sum(len(tokenizer(build_prompt(each, tokenizer, CHAT))["input_ids"]) for each in many)
    found = list(
        generate(
            model,
            tokenizer,
            many,
            protocol=CHAT,
            max_new_tokens=BUDGET,
            batch_size=3,
            on_step=steps.append,
            on_call=asked.append,
        )
    )
    new = sum(each.new_tokens for each in found)
    assert [len(call.prompt_ids or ()) for call in asked] == sorted(
        (len(call.prompt_ids or ()) for call in asked), reverse=True
    )
    assert len([step for step in steps if step == 3]) > (new - len(many)) / 3 - BUDGET
    assert sum(tokens) < alone + new - 5 * len(many)


def test_equal_prompts_go_through_the_model_once(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]
) -> None:
    """Four samples of a problem differ in what is drawn, not in what is asked."""
    model = make_model(3)
    tokens = _count_tokens(model)
    sampler = make_sampler(n=4, temperature=1.0, top_p=1.0, seed=5)
    found = list(
        generate(model, tokenizer, problems[:1], protocol=CHAT, max_new_tokens=6, batch_size=4, sampler=sampler)
    )
    prompt = len(tokenizer(build_prompt(problems[0], tokenizer, CHAT))["input_ids"])
    assert sum(tokens) == prompt + sum(each.new_tokens - 1 for each in found)
    assert len({each.text for each in found}) > 1


@pytest.mark.slow
def test_a_short_decoding_begins_as_the_whole_does(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem]
) -> None:
    """After so many tokens the rows under way come as they are."""
    model = make_model(3)
    whole = sample(model, tokenizer, many, 3)
    short = list(generate(model, tokenizer, many, protocol=CHAT, max_new_tokens=BUDGET, batch_size=3, steps=5))
    assert len(short) >= 3
    assert all(whole[each.task_id].text.startswith(each.text.rstrip("\n\ufffd")) for each in short)
    assert max(each.new_tokens for each in short) == 5


def _count_tokens(model: PreTrainedModel) -> list[int]:
    """How many tokens each later call of `model` is given."""
    given: list[int] = []

    def note(_module: object, _args: object, named: dict[str, Any]) -> None:
        given.append(named["input_ids"].numel())

    model.register_forward_pre_hook(note, with_kwargs=True)
    return given


def test_a_prompt_beyond_the_context_is_an_error(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, problems: list[Problem]
) -> None:
    """Positions that the model never learned are refused, not extrapolated."""
    with pytest.raises(ExperimentError, match=r"Own/0: \d+ prompt tokens \+ 500 new ones exceed"):
        list(generate(make_model(3), tokenizer, problems, protocol=CHAT, max_new_tokens=500, batch_size=4))


def test_steps_add_up_to_the_tokens(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerFast, many: list[Problem]
) -> None:
    """Every decoded token is reported once."""
    steps: list[int] = []
    found = generate(
        make_model(3), tokenizer, many, protocol=CHAT, max_new_tokens=9, batch_size=4, on_step=steps.append
    )
    assert sum(completion.new_tokens for completion in found) == sum(steps)


def test_every_special_token_ends_a_row(make_model: MakeModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Also one without a role, which `all_special_ids` leaves out, and no other token that was added."""
    more = copy.deepcopy(tokenizer)
    more.add_tokens([AddedToken("<file_sep>", special=True), AddedToken("<plain>", special=False)])
    special, plain = (more.convert_tokens_to_ids(token) for token in ("<file_sep>", "<plain>"))
    assert special not in more.all_special_ids
    assert special in end_ids(make_model(3), more)
    assert plain not in end_ids(make_model(3), more)
