"""The numbers of a card: each is read from a file of evidence, and the card says from which."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from refute.disk import file_sha256
from refute.errors import ExperimentError
from refute.job import Inputs
from refute.spec.experiments import evidence_files as names
from refute.spec.experiments.evidence.publication import CardClaim

# The quantile of the normal distribution for an interval of 95 %.
_Z: Final = 1.959963984540054

Read = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Number:
    """A number of evidence: `read` takes it out of the JSON of a file, `decimals` of it are shown."""

    id: str
    label: str
    evidence: str
    file: str
    key: str
    read: Read
    decimals: int


def _at(key: str, scale: float = 1.0) -> Read:
    def read(content: Mapping[str, Any]) -> float:
        found: Any = content
        for part in key.split("."):
            found = found[part]
        return float(found) * scale

    return read


def _wilson(side: int) -> Read:
    """An end of Wilson's interval (1927) of a share of problems, in percent."""

    def read(content: Mapping[str, Any]) -> float:
        n, share = content["problems"], content["passed"] / content["problems"]
        middle = share + _Z**2 / (2 * n)
        reach = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        return 100.0 * float(min(max((middle + side * reach) / (1 + _Z**2 / n), 0.0), 1.0))

    return read


_RUN, _SCORE, _IDENTITY = names.TRAINING_SUMMARY.name, names.EVALUATION_SUMMARY.name, names.IDENTITIES.name
_LOSS = "nat per token of held-out text"


def _number(
    id: str, label: str, evidence: str, file: str, key: str, *, scale: float = 1.0, decimals: int = 0
) -> Number:
    return Number(id, label, evidence, file, key, _at(key, scale), decimals)


_STUDENT, _ASKED, _INIT = names.STUDENT, names.HUMANEVAL_STUDENT, names.HUMANEVAL_INIT
_ENDS = "passed, problems"
NUMBERS: Final = (
    _number("parameters", "parameters", _STUDENT, _RUN, "parameters"),
    _number("teacher_parameters", "parameters of the teacher", names.LINEAGE, _IDENTITY, "teacher.parameters"),
    _number("steps", "optimiser steps", _STUDENT, _RUN, "steps"),
    _number("tokens", "supervised tokens", _STUDENT, _RUN, "supervised_tokens"),
    _number("loss", f"cross-entropy, {_LOSS}", _STUDENT, _RUN, "final_heldout_ce", decimals=3),
    _number("loss_before", "the same before the first step", _STUDENT, _RUN, "initial_heldout_ce", decimals=3),
    _number("distance", f"KL to the teacher, {_LOSS}", _STUDENT, _RUN, "final_heldout_kl", decimals=3),
    _number("problems", "HumanEval problems", _ASKED, _SCORE, "problems"),
    _number("passed", "of these solved, one greedy answer each", _ASKED, _SCORE, "passed"),
    _number("score", "HumanEval pass@1, percent", _ASKED, _SCORE, "pass_at_1", scale=100, decimals=1),
    Number("score_low", "lower end of its interval (Wilson)", _ASKED, _SCORE, _ENDS, _wilson(-1), 1),
    Number("score_high", "upper end of its interval (Wilson)", _ASKED, _SCORE, _ENDS, _wilson(1), 1),
    _number("score_of_init", "the same of the init, percent", _INIT, _SCORE, "pass_at_1", scale=100, decimals=1),
)


def _of_formats(inputs: Mapping[str, Inputs]) -> Iterator[Number]:
    """What each exported file has shown by its own answers."""
    made = names.FORMAT_SCORES.read(inputs[names.HUMANEVAL_FORMATS].folder, names.HUMANEVAL_FORMATS)
    for each in made.files:
        what, place = f"of the {each.label} file in llama.cpp", f"{each.label}: {_ENDS}"
        for id, label, read, decimals in (
            ("problems", f"HumanEval problems {what}, drawn", _at("problems"), 0),
            ("score", f"pass@1 {what}, percent", _at("pass_at_1", 100), 1),
            ("score_low", f"lower end of its interval {what} (Wilson)", _wilson(-1), 1),
            ("score_high", f"upper end of its interval {what} (Wilson)", _wilson(1), 1),
        ):
            own = _of_label(each.label, read)
            file = names.FORMAT_SCORES.name
            yield Number(f"{each.label} {id}", label, names.HUMANEVAL_FORMATS, file, place, own, decimals)


def _of_label(label: str, read: Read) -> Read:
    return lambda content: read(next(each for each in content["files"] if each["label"] == label))


def claims(inputs: Mapping[str, Inputs]) -> tuple[CardClaim, ...]:
    """Every number of a card, as it is shown. Raises ExperimentError for evidence that lacks one."""
    return tuple(_claims(inputs))


def _claims(inputs: Mapping[str, Inputs]) -> Iterator[CardClaim]:
    for each in (*NUMBERS, *_of_formats(inputs)):
        path = inputs[each.evidence].path(each.file)
        try:
            value = each.read(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ZeroDivisionError) as error:
            where = f"evidence {each.evidence}/{each.file}"
            raise ExperimentError(f"{where} has no number {each.key}: {error!r}") from error
        yield _claim(each, value, path)


def _claim(number: Number, value: float, path: Path) -> CardClaim:
    return CardClaim(
        id=number.id,
        label=number.label,
        text=f"{value:,.{number.decimals}f}",
        decimals=number.decimals,
        evidence=number.evidence,
        file=number.file,
        key=number.key,
        sha256=file_sha256(path),
    )
