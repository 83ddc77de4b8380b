"""Was every model asked what it had to be asked, and all of them by one protocol?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable
from refute_falsifiers._answers import by_answer

Row = dict[str, Any]
Rows = list[Row]
Measure = Callable[[Context], Iterator[Measurement]]
_MODELS = ("student", "init", "teacher", "null")
_LIMITS = ("max_new_tokens", "stop_sequences", "end_ids", "sampler", "temperature", "top_p", "seed", "dtype")
_ABSENT = object()


# ------------------------------------------------------------------------------------------------ what was asked


def _expected(count: int = 4) -> Rows:
    return [
        {
            "task_id": f"HumanEval/{n}",
            "prompt_ids": [1, 2, n],
            "max_new_tokens": 80,
            "stop_sequences": ["```"],
            "end_ids": [0, 2],
            "sampler": "argmax",
            "temperature": 0.0,
            "dtype": "float32",
            "batch_at_most": 41,
        }
        for n in range(count)
    ]


def _call(row: Row) -> Row:
    """What was really asked, where it is what was expected."""
    return {"sample": 0} | _without(row, "batch_at_most") | {"batch": 41}


def _without(row: Row, *keys: str) -> Row:
    return {key: value for key, value in row.items() if key not in keys}


# How many prompts, limits and problems are not as they had to be, and what is done to one more problem of each kind.
_MEASURES = ("foreign_prompts", "foreign_limits", "unasked")
_WAYS: tuple[Row | None, ...] = ({"prompt_ids": [0]}, {"max_new_tokens": 2}, None)
# Problems that a control has, whatever the bar.
_MOST = 10_000


def _lay(
    bench: Bench,
    *,
    first: Row | None = None,
    expected: Rows | None = None,
    calls: Rows | None = None,
    samples: Rows | None = None,
    **wrong: int,
) -> None:
    """A run of four calls, all as `expected` but for what `first` changes in one, or `calls`, or `samples`, replace.

    That makes so many of each measurement `wrong`; more problems follow, of which as many are as the bars then want.
    """
    model, wanted = bench.parameters["model"], _expected() if expected is None else expected
    asked = [_call(row) for row in wanted] if calls is None else calls
    asked = [{**row, **(first or {})} if n == 0 else row for n, row in enumerate(asked)]
    answered = _samples() if samples is None else samples
    for measurement, way in zip(_MEASURES, _WAYS, strict=True):
        tasks = [f"{measurement}/{n}" for n in range(_more(bench, measurement, wrong))]
        due = [{**_expected(1)[0], "task_id": task} for task in tasks]
        wanted = [*wanted, *due]
        if way is not None:
            asked = [*asked, *(_call(row) | way for row in due)]
            answered = [*answered, *({"task_id": task, "new_tokens": 1} for task in tasks)]
    bench.put(f"humaneval_replay_{model}", "expected_calls.jsonl", wanted)
    bench.put(f"humaneval_{model}", "model_calls.jsonl", asked)
    bench.put(f"humaneval_{model}", "samples.jsonl", answered)


def _more(bench: Bench, measurement: str, wrong: Mapping[str, int], most: int = _MOST) -> int:
    """How many, up to `most`, to add to those that are `wrong`, so that the bar is failed; for none, is cleared."""
    bar, own = bench.bar(measurement), wrong.get(measurement, 0)
    find = bar.failing if measurement in wrong else bar.holding
    return int(find(own, low=own, high=own + most, whole=True)) - own


def _samples(count: int = 4) -> Rows:
    return [{"task_id": f"HumanEval/{n}", "new_tokens": 1} for n in range(count)]


def everything_was_asked(bench: Bench) -> None:
    """Every prompt token by token, under the limits of the release."""
    _lay(bench)


def _served() -> Rows:
    """What is expected of a server that splits text itself: prompts are text, and nothing is known of weights."""
    return [
        _without(row, "prompt_ids", "end_ids", "dtype") | {"prompt": "def f", "batch_at_most": 1} for row in _expected()
    ]


def a_server_was_asked(bench: Bench) -> None:
    """Every prompt as a text; nothing is known of batches."""
    _lay(bench, expected=_served(), calls=[_without(_call(row), "batch") for row in _served()])


def a_server_was_asked_something_else(bench: Bench) -> None:
    """One text is not that of the problem."""
    calls = [_without(_call(row), "batch") for row in _served()]
    _lay(bench, expected=_served(), calls=calls, first={"prompt": "def g"}, foreign_prompts=1)


def fewer_tokens_and_more_at_a_time(bench: Bench) -> None:
    """Two limits are others, in two ways that must not make up for each other."""
    _lay(bench, first={"max_new_tokens": 2, "batch": 42}, foreign_limits=2)


def one_left_out_and_one_without_a_token(bench: Bench) -> None:
    """Two problems were not answered, in two ways that must not make up for each other."""
    samples = [{**row, "new_tokens": int(n > 0)} for n, row in enumerate(_samples(3))]
    _lay(bench, calls=[_call(row) for row in _expected(3)], samples=samples, unasked=2)


def a_prompt_without_its_docstring(bench: Bench) -> None:
    """One prompt has fewer tokens than the problem."""
    _lay(bench, first={"prompt_ids": [1, 2]}, foreign_prompts=1)


def a_text_in_place_of_tokens(bench: Bench) -> None:
    """What can be checked token by token is stated as a text."""
    _lay(
        bench,
        calls=[_without(_call(row), "prompt_ids") for row in _expected()],
        first={"prompt": "def f"},
        foreign_prompts=4,
    )


def two_new_tokens(bench: Bench) -> None:
    """A model that may say two tokens solves nothing."""
    _lay(bench, first={"max_new_tokens": 2}, foreign_limits=1)


def another_stop(bench: Bench) -> None:
    """Answers end where they should not."""
    _lay(bench, first={"stop_sequences": ["\n"]}, foreign_limits=1)


def another_end(bench: Bench) -> None:
    """A token that is no end ends answers."""
    _lay(bench, first={"end_ids": [0, 2, 198]}, foreign_limits=1)


def another_sampler(bench: Bench) -> None:
    """One answer is drawn."""
    _lay(bench, first={"sampler": "top_p", "temperature": 0.8, "top_p": 0.5, "seed": 18}, foreign_limits=4)


def _twice() -> Rows:
    return [{**row, "sample": sample, "new_tokens": 1} for row in _expected() for sample in range(2)]


def several_samples_were_asked_for(bench: Bench) -> None:
    """Two of each problem."""
    _lay(bench, expected=_twice(), samples=_twice())


def a_sample_that_was_not_asked_for(bench: Bench) -> None:
    """The second of one problem."""
    _lay(bench, expected=_twice(), calls=[*map(_call, _twice()[:-1])], samples=_twice()[:-1], unasked=1)


def rounded_weights(bench: Bench) -> None:
    """The model answers in another precision than the others."""
    _lay(bench, first={"dtype": "bfloat16"}, foreign_limits=1)


def more_at_a_time(bench: Bench) -> None:
    """More samples are computed together than the release says."""
    _lay(bench, first={"batch": 42}, foreign_limits=1)


def a_model_that_was_never_asked(bench: Bench) -> None:
    """There are answers, and no call that they came of."""
    _lay(bench, calls=[], unasked=4)


def answers_without_a_token(bench: Bench) -> None:
    """The model was asked, it is said, and decoded not one token."""
    _lay(bench, samples=[{"task_id": f"HumanEval/{n}", "new_tokens": 0} for n in range(4)], unasked=4)


def a_problem_that_was_not_put(bench: Bench) -> None:
    """One is left out."""
    _lay(bench, calls=[_call(row) for row in _expected(3)], samples=_samples(3), unasked=1)


def problems_of_somebody_elses_choice(bench: Bench) -> None:
    """One more is put, which suits."""
    _lay(bench, calls=[_call(row) for row in _expected(5)], samples=_samples(5), unasked=1)


def nothing_is_expected(bench: Bench) -> None:
    """Without a problem nothing can be left out."""
    _lay(bench)
    bench.put(f"humaneval_replay_{bench.parameters['model']}", "expected_calls.jsonl", "")


def _of_every_model(measure: Measure) -> Measure:
    """The same falsifier once for each model, with evidence and records of its own."""
    for model in (*_MODELS, "sampled"):
        falsifier(
            f"{model}-asked",
            needs=(f"humaneval_{model}", f"humaneval_replay_{model}"),
            measures={"foreign_prompts": "problems", "foreign_limits": "settings", "unasked": "problems"},
            parameters={"model": model},
            controls=(
                known_good(everything_was_asked),
                known_good(a_server_was_asked),
                known_bad(a_server_was_asked_something_else),
                known_bad(fewer_tokens_and_more_at_a_time),
                known_bad(one_left_out_and_one_without_a_token),
                known_bad(a_prompt_without_its_docstring),
                known_bad(a_text_in_place_of_tokens),
                known_bad(two_new_tokens),
                known_bad(another_stop),
                known_bad(another_end),
                known_bad(another_sampler),
                known_good(several_samples_were_asked_for),
                known_bad(a_sample_that_was_not_asked_for),
                known_bad(rounded_weights),
                known_bad(more_at_a_time),
                known_bad(a_model_that_was_never_asked),
                known_bad(answers_without_a_token),
                known_bad(a_problem_that_was_not_put),
                known_bad(problems_of_somebody_elses_choice),
                known_unusable(nothing_is_expected, raises=ValueError),
            ),
        )(measure)
    return measure


@_of_every_model
def model_asked(context: Context) -> Iterator[Measurement]:
    """Refuted when a model was not asked all problems, or by other tokens or under other limits than it had to be."""
    model = context.parameters["model"]
    run, replay = context.evidence(f"humaneval_{model}"), context.evidence(f"humaneval_replay_{model}")
    expected = by_answer(replay, "expected_calls.jsonl")
    if not expected:
        raise ValueError(f"{replay.name} expects no call")
    calls = by_answer(run, "model_calls.jsonl")
    pairs = [(calls[name], expected[name]) for name in calls if name in expected]
    foreign = sum(_differ(call, wanted, "prompt_ids") or _differ(call, wanted, "prompt") for call, wanted in pairs)
    yield Measurement("foreign_prompts", foreign, "problems", n=len(expected))
    limits = sum(_differ(call, wanted, name) for call, wanted in pairs for name in _LIMITS)
    crowded = sum(call.get("batch", 1) > wanted["batch_at_most"] for call, wanted in pairs)
    yield Measurement("foreign_limits", limits + crowded, "settings", n=len(expected))
    answered = {name for name, row in by_answer(run, "samples.jsonl").items() if row["new_tokens"] > 0}
    unasked = (expected.keys() ^ calls.keys()) | (calls.keys() - answered)
    yield Measurement("unasked", len(unasked), "problems", n=len(expected))


def _differ(call: Row, wanted: Row, name: str) -> bool:
    return bool(call.get(name, _ABSENT) != wanted.get(name, _ABSENT))


# ------------------------------------------------------------------------------------------------ one protocol

# All that shapes an answer or its verdict. `template_sha256` is not among them: two models may have two chat templates,
# and what was made of each is seen in the tokens.
_SETTINGS = (
    "protocol",
    "system_prompt",
    "stop_sequences",
    "extraction",
    "max_new_tokens",
    "batch_size",
    "effective_sampler",
    "sampler_reported_by",
    "isolation",
    "timeout_s",
    "problems_sha256",
)
_SUMMARY: Row = {
    "protocol": "chat_primed",
    "system_prompt": None,
    "stop_sequences": ["```"],
    "extraction": "up to the stop",
    "max_new_tokens": 80,
    "batch_size": 41,
    "effective_sampler": {"method": "argmax", "temperature": 0.0},
    "sampler_reported_by": "the sampler",
    "isolation": "seccomp",
    "timeout_s": 10.0,
    "problems_sha256": "ab" * 32,
    "backend": {"kind": "transformers", "version": "5.0"},
    "problems": 164,
    # Of every call, and no part of the summary.
    "end_ids": [0, 2],
}


def _summaries(bench: Bench, changed: str = "", **changes: Any) -> None:
    """All alike but for `changes` of the model that is `changed`, and as many more settings as the bar then wants."""
    others = [name for name in _SETTINGS if name not in changes]
    wrong = {"differing_settings": len(changes)} if changes else {}
    other = changes | dict.fromkeys(others[: _more(bench, "differing_settings", wrong, len(others))], "another")
    for model in _MODELS:
        own = {**_SUMMARY, "problems": 24} if model == "null" else _SUMMARY
        own = own | (other if model == (changed or "init") else {})
        bench.put(
            f"humaneval_{model}", "model_calls.jsonl", [_call(row) | {"end_ids": own["end_ids"]} for row in _expected()]
        )
        bench.put(f"humaneval_{model}", "summary.json", _without(own, "end_ids"))


def all_by_one_protocol(bench: Bench) -> None:
    """Random weights are asked less, and otherwise the same."""
    _summaries(bench)


def _one_changed(setting: str, value: Any, model: str) -> Callable[[Bench], None]:
    def build(bench: Bench) -> None:
        _summaries(bench, model, **{setting: value})

    build.__doc__ = f"One model's {setting} is another."
    return build


def a_model_is_asked_more_problems(bench: Bench) -> None:
    """Student and init are not put the same number of problems."""
    _summaries(bench, "init", problems=163)


def a_model_answers_elsewhere(bench: Bench) -> None:
    """One of three answers in another library."""
    _summaries(bench, "teacher", backend={"kind": "llama.cpp", "version": "1"})


def a_model_that_answers_more_elsewhere(bench: Bench) -> None:
    """Two settings are others, in two ways that must not make up for each other."""
    _summaries(bench, "init", problems=163, backend={"kind": "llama.cpp", "version": "1"})


_OTHER = (
    ("protocol", "completion", "teacher"),
    ("system_prompt", "You are an expert.", "init"),
    ("stop_sequences", ["\n"], "init"),
    ("extraction", "all", "null"),
    ("max_new_tokens", 2, "init"),
    ("batch_size", 1, "student"),
    ("effective_sampler", {"method": "top_p", "temperature": 0.8}, "init"),
    ("sampler_reported_by", "nobody", "teacher"),
    ("isolation", "rlimits", "teacher"),
    ("timeout_s", 1.0, "init"),
    ("problems_sha256", "cd" * 32, "student"),
    ("end_ids", [0, 2, 198], "init"),
)


@falsifier(
    "one-protocol",
    needs=tuple(f"humaneval_{model}" for model in _MODELS),
    measures={"differing_settings": "settings"},
    controls=(
        known_good(all_by_one_protocol),
        *(known_bad(_one_changed(*other), name=f"another {other[0]} of the {other[2]}") for other in _OTHER),
        known_bad(a_model_is_asked_more_problems),
        known_bad(a_model_answers_elsewhere),
        known_bad(a_model_that_answers_more_elsewhere),
    ),
)
def one_protocol(context: Context) -> Iterator[Measurement]:
    """Refuted when a setting that shapes answers or verdicts differs among the models that are compared.

    Random weights always answer in transformers, and fewer problems: of these two they are left out. What ends an
    answer is compared between student and init: a teacher may have other tokens for it.
    """
    found = {model: context.evidence(f"humaneval_{model}").json("summary.json") for model in _MODELS}
    asked = [found[model] for model in _MODELS if model != "null"]
    differing = sum(_several(each[name] for each in found.values()) for name in _SETTINGS)
    differing += _several(each["problems"] for each in asked) + _several(each["backend"]["kind"] for each in asked)
    differing += _several(_end_ids(context, model) for model in ("student", "init"))
    yield Measurement("differing_settings", differing, "settings", n=len(_SETTINGS) + 3)


def _end_ids(context: Context, model: str) -> set[tuple[int, ...]]:
    """What ended the answers of a model, in every call; nothing where that is not known."""
    return {tuple(row.get("end_ids", ())) for row in context.evidence(f"humaneval_{model}").rows("model_calls.jsonl")}


def _several(values: Iterable[Any]) -> bool:
    """Whether they are not one and the same."""
    first, *others = values
    return any(other != first for other in others)
