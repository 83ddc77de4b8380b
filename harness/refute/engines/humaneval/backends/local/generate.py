"""Decoding of many problems at once with a transformers model: prompts, stop rules, what ended a row.

An own loop instead of `model.generate`: there finished rows keep costing a full row, and
generation_config.json (a repetition penalty, say) alters the argmax without being asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from refute.engines.humaneval.backends.local.batch import Batch, Choice, Pick, most_likely
from refute.engines.humaneval.backends.local.top_p_sampling import sample_top_p
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import Protocol, build_prompt, carried_text, find_stop, truncate
from refute.engines.humaneval.samples.call_log import Note, note_nothing
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.sampler import GREEDY, Sampler, random_stream
from refute.errors import ExperimentError, NonFiniteError
from refute.spec.experiments.evidence.humaneval import ModelCall, Stop

# Rows of a group, by the rows that are decoded at a time: more leave fewer places empty, and a kill costs more.
_TURNS = 4


@dataclass(frozen=True, slots=True)
class _Rules:
    tokenizer: PreTrainedTokenizerBase
    protocol: Protocol
    end_ids: frozenset[int]
    max_new_tokens: int
    sampler: Sampler


@dataclass(frozen=True, slots=True)
class _Row:
    task_id: str
    sample: int
    prompt_ids: list[int]
    carried: str
    new_ids: list[int] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.task_id, self.sample


@dataclass(frozen=True, slots=True)
class _Lost:
    """A row that ended without an answer."""

    key: Key
    error: ExperimentError


# What a row came to, None while it goes on.
_End = Completion | _Lost | None
Failed = Callable[[Key, ExperimentError], None]


def _raise(_key: Key, error: ExperimentError) -> None:
    raise error


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    *,
    protocol: Protocol,
    max_new_tokens: int,
    batch_size: int,
    sampler: Sampler = GREEDY,
    finished: Collection[Key] = (),
    failed: Failed = _raise,
    on_step: Callable[[int], None] | None = None,
    on_call: Note = note_nothing,
    steps: int | None = None,
) -> Iterator[Completion]:
    """`sampler.n` completions a problem, each yielded as soon as its row ends; longest prompts first.

    `batch_size` rows are decoded at a time, and one that ends makes place for the next, up to the end of a group of
    `_TURNS` times as many. Groups are a function of `problems`, `sampler.n` and `batch_size` alone, and one is left out
    only if `finished` names (task, sample) of all its rows, so a resumed run computes the same sums in the same order,
    and hence the same tokens, as an undisturbed one. Between batch sizes equality is no promise: sums differ in their
    last bits (measured in float32 with SmolLM2-135M-Instruct: 0 of 120 texts differ between 16 and 64 rows). `on_step`
    is told how many tokens were just decoded: a prompt's first, or one a row; `on_call` what each row is asked, as it
    begins. With `steps` only the first group is decoded, so many tokens far, and what is under way then comes as it is.

    What has no answer is told to `failed`, which by default raises it, and the others go on: NonFiniteError naming the
    task whose logits are NaN or infinite, ExperimentError for a prompt that does not fit into the model's context
    together with `max_new_tokens`.
    """
    rules = _Rules(tokenizer, protocol, end_ids(model, tokenizer), max_new_tokens, sampler)
    rows = [row for problem in problems for row in _rows(problem, model, rules, sampler.n, failed)]
    rows.sort(key=lambda row: -len(row.prompt_ids))
    size = batch_size * _TURNS
    for start in range(0, len(rows) if steps is None else min(len(rows), 1), size):
        group = rows[start : start + size]
        if not all(row.key in finished for row in group):
            decoding = _Decoding(model, group, rules, min(batch_size, len(group)), on_call)
            for ended in decoding.run(on_step or (lambda _tokens: None), steps):
                if isinstance(ended, _Lost):
                    failed(ended.key, ended.error)
                else:
                    yield ended


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The token ids that end a row: the model's EOS ids, and every special token, none of which is Python.

    `all_special_ids` are those with a role alone: 3 of SmolLM2's 17.
    """
    configured = model.generation_config.eos_token_id if model.generation_config else None
    listed = configured if isinstance(configured, list) else [configured]
    special = [id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special]
    return frozenset(id_ for id_ in (*listed, *tokenizer.all_special_ids, *special) if id_ is not None)


def _pick(sampler: Sampler, rows: Sequence[_Row]) -> Pick:
    """The sampler at work: each row has random numbers of its own, one a token."""
    if sampler.method == "argmax":
        return most_likely
    own = [random_stream(sampler, row.task_id, row.sample) for row in rows]

    def pick(logits: torch.Tensor, prompts: Sequence[int]) -> list[int]:
        chances = [own[prompt].random() for prompt in prompts]
        return sample_top_p(logits, chances, temperature=sampler.temperature, top_p=sampler.top_p)

    return pick


def _rows(problem: Problem, model: PreTrainedModel, rules: _Rules, n: int, failed: Failed) -> list[_Row]:
    prompt = build_prompt(problem, rules.tokenizer, rules.protocol)
    ids = list(rules.tokenizer(prompt, add_special_tokens=not rules.protocol.chat)["input_ids"])
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and len(ids) + rules.max_new_tokens > context:
        error = ExperimentError(
            f"{problem.task_id}: {len(ids)} prompt tokens + {rules.max_new_tokens} new ones "
            f"exceed the model's context of {context}",
            hint="lower max_new_tokens, if the prompt leaves room; else this model cannot be asked",
        )
        for sample in range(n):
            failed((problem.task_id, sample), error)
        return []
    return [_Row(problem.task_id, sample, ids, carried_text(prompt)) for sample in range(n)]


class _Decoding:
    """One group of rows, `together` at a time."""

    def __init__(
        self, model: PreTrainedModel, rows: Sequence[_Row], rules: _Rules, together: int, on_call: Note
    ) -> None:
        self._model, self._rows, self._rules, self._together, self._on_call = model, rows, rules, together, on_call
        prompts = [row.prompt_ids for row in rows]
        self._batch = Batch(model, prompts, together, rules.max_new_tokens, _pick(rules.sampler, rows))
        self._waiting = iter(enumerate(rows))
        self._places: list[_Row | None] = [None] * together

    def run(self, on_step: Callable[[int], None], steps: int | None) -> Iterator[Completion | _Lost]:
        """Every row as it ends, or as it is after `steps` tokens."""
        made = 0
        while True:
            ended = [each for place in range(len(self._places)) for each in self._fill(place, on_step)]
            yield from _kept_first(ended)
            live = self._drop_empty_places()
            made += 1
            if not live or made == steps:
                yield from (_completion(row, "length", self._rules) for row in live)
                return
            choices = self._batch.next_choices([row.new_ids[-1] for row in live])
            ends = [_append(row, choice, self._rules) for row, choice in zip(live, choices, strict=True)]
            on_step(len(live))
            self._places = [row if end is None else None for row, end in zip(live, ends, strict=True)]
            yield from _kept_first(ends)

    def _fill(self, place: int, on_step: Callable[[int], None]) -> Iterator[_End]:
        """Put the next row that goes on into an empty place; what became of those whose first token ended them."""
        while self._places[place] is None and (following := next(self._waiting, None)) is not None:
            number, row = following
            self._on_call(_call(self._model, row, self._rules, self._together))
            end = _append(row, self._batch.admit(place, number), self._rules)
            on_step(1)
            if end is None:
                self._places[place] = row
            yield end

    def _drop_empty_places(self) -> list[_Row]:
        live = [row for row in self._places if row is not None]
        if live and len(live) < len(self._places):
            self._batch.keep([place for place, row in enumerate(self._places) if row is not None])
        self._places = list(live)
        return live


def _kept_first(ends: Sequence[_End]) -> list[Completion | _Lost]:
    """Those that ended. All that arrived are kept before the first that was lost may end the run."""
    return sorted((each for each in ends if each is not None), key=lambda each: isinstance(each, _Lost))


def _call(model: PreTrainedModel, row: _Row, rules: _Rules, together: int) -> ModelCall:
    draws = rules.sampler.method != "argmax"
    return ModelCall(
        task_id=row.task_id,
        sample=row.sample,
        prompt_ids=tuple(row.prompt_ids),
        max_new_tokens=rules.max_new_tokens,
        stop_sequences=rules.protocol.stops,
        end_ids=tuple(sorted(rules.end_ids)),
        sampler=rules.sampler.method,
        temperature=rules.sampler.temperature,
        top_p=rules.sampler.top_p if draws else None,
        seed=rules.sampler.seed if draws else None,
        dtype=str(model.dtype).removeprefix("torch."),
        batch=together,
    )


def _append(row: _Row, choice: Choice, rules: _Rules) -> _End:
    """Take the row one token further; what became of it if that token ended it."""
    if not choice.finite:
        error = NonFiniteError(
            f"{row.task_id}: the logits of new token {len(row.new_ids) + 1} are NaN or infinite",
            hint="look for NaN in the model's weights; a model that computes NaN cannot be scored",
        )
        return _Lost(row.key, error)
    row.new_ids.append(choice.token_id)
    if choice.token_id in rules.end_ids:
        return _completion(row, "eos", rules)
    if find_stop(_text(row, rules), rules.protocol) is not None:
        return _completion(row, "stop", rules)
    return _completion(row, "length", rules) if len(row.new_ids) >= rules.max_new_tokens else None


def _completion(row: _Row, stop: Stop, rules: _Rules) -> Completion:
    text = truncate(_text(row, rules), rules.protocol)
    return Completion(row.task_id, text, len(row.new_ids), stop, row.sample)


def _text(row: _Row, rules: _Rules) -> str:
    """All that the row says. Always from its first token: one character may be spread over several tokens."""
    ids = row.new_ids[:-1] if row.new_ids[-1] in rules.end_ids else row.new_ids
    return row.carried + str(rules.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
