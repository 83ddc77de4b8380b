"""Eight gates that a model must pass before anybody is asked to try it: a named, complete set; a skip never passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from refute.engines.model.generations.portable import chat_template
from refute.engines.model.gguf import metadata, open_gguf
from refute.engines.model.tools.asking.bench import measure_speed
from refute.engines.model.tools.asking.degenerate import degenerate
from refute.engines.model.tools.asking.engine import Engine, Sampling
from refute.engines.model.tools.asking.opening import open_engine
from refute.engines.model.tools.lint.lint import lint_model
from refute.engines.model.tools.lint.rule import Finding, Group
from refute.engines.model.tools.stored import StoredModel, open_stored
from refute.errors import UsageError

State = Literal["passed", "failed", "not run"]
_PROMPTS = ("def add(a, b):\n", "The capital of France is", "import os\n\n\ndef read(path):\n")
_CONVERSATION = ({"role": "user", "content": "Say hello."},)
_ROUND_TRIPS = ("def f(n):\n    return n ** 2  # n > 0\n", "Größe 北京 1234", "\tif x:\r\n\t\tpass")
_TOKENS = 32
# Types of a GGUF file with which llama.cpp computes as transformers does, up to rounding; for BF16 it rounds what a
# matrix is multiplied with, too.
_EXACT = frozenset({"F64", "F32", "F16"})
# Files of other types part from the folder sooner or later, and never come back. They are asked for the next token
# alone, after every so many tokens of one text: a file of another model agrees about few.
_STEP, _LEAST_EQUAL = 4, 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """What gates look at: the model, what lint found, the least tokens per second, and the model in another format.

    `rounded`: one of both is stored in a type that is no copy of the other's numbers.
    """

    model: Path
    findings: Sequence[Finding]
    engine: Engine
    floor: float
    beside: Engine | None
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class GateResult:
    """How one gate ended, and why."""

    gate: str
    state: State
    found: str


Look = Callable[[Case], tuple[State, str]]


def _linted(*groups: Group) -> Look:
    """No error of lint in these groups."""

    def look(case: Case) -> tuple[State, str]:
        errors = [each for each in case.findings if each.severity == "error" and each.group in groups]
        return ("failed", errors[0].found) if errors else ("passed", f"no error in {' and '.join(groups)}")

    return look


def _round_trip(case: Case) -> tuple[State, str]:
    for text in _ROUND_TRIPS:
        ids = case.engine.encode(text)
        if case.engine.decode(ids).removeprefix(" ") != text:
            return "failed", f"{text!r} becomes {case.engine.decode(ids)!r} by way of its ids"
    return "passed", f"{len(_ROUND_TRIPS)} texts come back from their ids"


def _golden_output(case: Case) -> tuple[State, str]:
    for prompt in _PROMPTS:
        answer = case.engine.generate(case.engine.encode(prompt), Sampling(_TOKENS, to_the_end=True))
        if fault := degenerate(answer.ids, answer.text):
            return "failed", f"after {prompt!r}: {fault}"
    return "passed", f"{len(_PROMPTS)} answers that are no noise"


def _chat_template(case: Case) -> tuple[State, str]:
    if not _stated_template(case.model):
        return "failed", "the model states no chat template: each engine makes up one of its own"
    prompt = case.engine.prompt_of(_CONVERSATION)
    said = _CONVERSATION[0]["content"]
    if said not in prompt:
        return "failed", f"the template leaves out what was said: {prompt!r}"
    return "passed", f"it renders a turn into {len(case.engine.encode(prompt))} ids"


def _stated_template(model: Path) -> object:
    return chat_template(model) if model.is_dir() else metadata(open_gguf(model), "tokenizer.chat_template")


def _determinism(case: Case) -> tuple[State, str]:
    ids = case.engine.encode(_PROMPTS[0])
    one, other = (case.engine.generate(ids, Sampling(_TOKENS)).ids for _ in range(2))
    return ("passed", f"{len(one)} greedy ids twice") if one == other else ("failed", "two greedy answers differ")


def _throughput(case: Case) -> tuple[State, str]:
    found = measure_speed(case.engine, n=3, warm_up=1, new_tokens=_TOKENS).generated_tokens_per_s
    state: State = "passed" if found >= case.floor else "failed"
    return state, f"{found:.1f} tokens/s, expected {case.floor:g} and more"


def _format_parity(case: Case) -> tuple[State, str]:
    if case.beside is None:
        return "not run", "no other format was named: give --beside"
    agree = _next_ids if case.rounded else _whole_answers
    least, what = (_LEAST_EQUAL, "next ids, each after the same text,") if case.rounded else (1.0, "greedy ids")
    equal: list[bool] = []
    for prompt in _PROMPTS:
        ids = case.engine.encode(prompt)
        if (theirs := case.beside.encode(prompt)) != ids:
            return "failed", f"{prompt!r} has ids {ids[:6]} here and {theirs[:6]} in {case.beside.name}"
        equal += agree(ids, case.engine, case.beside)
    state: State = "passed" if sum(equal) >= least * len(equal) else "failed"
    return state, f"{sum(equal)} of {len(equal)} {what} equal in {case.beside.name}, expected {least:.0%}"


def _whole_answers(ids: Sequence[int], one: Engine, other: Engine) -> list[bool]:
    ours, theirs = (each.generate(ids, Sampling(_TOKENS, to_the_end=True)).ids for each in (one, other))
    return [place < len(theirs) and theirs[place] == number for place, number in enumerate(ours)]


def _next_ids(ids: Sequence[int], one: Engine, other: Engine) -> list[bool]:
    ours = one.generate(ids, Sampling(_TOKENS, to_the_end=True)).ids
    ask = Sampling(1, to_the_end=True)
    return [
        other.generate([*ids, *ours[:place]], ask).ids == ours[place : place + 1]
        for place in range(0, len(ours), _STEP)
    ]


# In this order they are run and shown.
GATES: Mapping[str, Look] = MappingProxyType(
    {
        "tensor_contract": _linted("physics", "structure"),
        "metadata": _linted("provenance", "identity"),
        "tokenizer": _round_trip,
        "chat_template": _chat_template,
        "golden_output": _golden_output,
        "determinism": _determinism,
        "throughput": _throughput,
        "format_parity": _format_parity,
    }
)


def run_gates(model: Path, *, beside: Path | None, floor: float, threads: int) -> list[GateResult]:
    """Every gate of GATES, each with an ending: what raises fails its gate, and one that cannot be run is not passed.

    Raises as `open_engine` for a model that cannot be opened at all, and as `refuse_the_same_format`.
    """
    if beside is not None:
        refuse_the_same_format(model, beside)
    findings = lint_model(model)
    with open_engine(model, threads=threads) as engine:
        if beside is None:
            return _all(Case(model, findings, engine, floor, None))
        rounded = any(_is_rounded(open_stored(each)) for each in (model, beside))
        with open_engine(beside, threads=threads) as other:
            return _all(Case(model, findings, engine, floor, other, rounded))


def refuse_the_same_format(model: Path, beside: Path) -> None:
    """Raise UsageError where both are folders or both are GGUF files: one engine agrees with itself about anything."""
    if (format_ := open_stored(model).format) == open_stored(beside).format:
        told = {"hf": "model folders", "gguf": "GGUF files"}[format_]
        raise UsageError(
            f"{model} and {beside} are both {told}: one engine would be compared with itself",
            hint="name a folder and a GGUF file that was made of it",
        )


def _is_rounded(stored: StoredModel) -> bool:
    return stored.format == "gguf" and not _EXACT.issuperset(stored.dtypes)


def _all(case: Case) -> list[GateResult]:
    return [GateResult(name, *_ended(look, case)) for name, look in GATES.items()]


def _ended(look: Look, case: Case) -> tuple[State, str]:
    try:
        return look(case)
    # A model whose template or numbers make an engine raise, whatever it raises, did not pass.
    except Exception as error:  # noqa: BLE001  # jinja2, torch and tokenizers have no common base
        return "failed", f"{type(error).__name__}: {error}"
