"""How what a function hands over is taken apart and put together again, by what it carries.

Each takes the function and a `Change`, and returns the function that stands in its place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from refute.engines.drill.change import Change
from refute.spec.experiments.training import DIVERGENCES

Real = Callable[..., Any]
HandOver = Callable[[Real, Change], Real]


def _of_result(take: Callable[[Any, tuple[Any, ...]], Any], put: Callable[[Any, Any], Any]) -> HandOver:
    """What is returned: `take` finds (result, arguments) what is changed in it, `put` it back into the result."""

    def planted(real: Real, change: Change) -> Real:
        @functools.wraps(real)
        def faulty(*arguments: Any, **settings: Any) -> Any:
            result = real(*arguments, **settings)
            given = take(result, arguments)
            return result if given is None else put(result, change.tensors(given))

        return faulty

    return planted


# ------------------------------------------------------------------------------------------------ training


def _teacher_parts(output: Any, _arguments: object) -> list[Tensor]:
    return [each for each in (output.logits, output.hidden) if each is not None]


def _with_teacher_parts(output: Any, parts: list[Tensor]) -> Any:
    return replace(output, **{"hidden" if output.logits is None else "logits": parts[0]})


def _batch(real: Real, change: Change) -> Real:
    """Of `StepModule.forward`: ids and labels of a micro-batch that is trained on, along the text."""

    @functools.wraps(real)
    def forward(self: Any, batch: Any, output: Any, denominator: float | None) -> Any:
        if denominator is not None and torch.is_grad_enabled():
            ids, labels = change.tensors([batch.ids.T, batch.labels.T])
            batch = replace(batch, ids=ids.T, labels=labels.T)
        return real(self, batch, output, denominator)

    return forward


def _labels(real: Real, change: Change) -> Real:
    """Of `StepModule.forward`: the labels alone, along the text."""

    @functools.wraps(real)
    def forward(self: Any, batch: Any, output: Any, denominator: float | None) -> Any:
        if denominator is not None and torch.is_grad_enabled():
            (labels,) = change.tensors([batch.labels.T])
            batch = replace(batch, labels=labels.T)
        return real(self, batch, output, denominator)

    return forward


def _loss(real: Real, change: Change) -> Real:
    """Of `kd_loss` while gradients are wanted: its total."""

    @functools.wraps(real)
    def loss(*tensors: Any, **settings: Any) -> Any:
        found = real(*tensors, **settings)
        if not torch.is_grad_enabled():
            return found
        return replace(found, total=change.tensors([found.total])[0])

    return loss


def _loss_gradient(real: Real, change: Change) -> Real:
    """The same, with the value that is logged left as it is."""

    @functools.wraps(real)
    def loss(*tensors: Any, **settings: Any) -> Any:
        found = real(*tensors, **settings)
        if not torch.is_grad_enabled():
            return found
        (total,) = change.tensors([found.total])
        return replace(found, total=found.total.detach() + total - total.detach())

    return loss


def _loss_settings(real: Real, change: Change) -> Real:
    """Of `kd_loss`: the weight of the teacher, what it is heated by, and which of the two weights is which."""

    @functools.wraps(real)
    def loss(*tensors: Any, **settings: Any) -> Any:
        if torch.is_grad_enabled():
            shares = torch.tensor([settings["kd_weight"], settings["ce_weight"]])
            (kd, _), heat = change.tensors([shares, torch.tensor(settings["temperature"])])
            # Whatever became of them, they sum to 1 and there is some heat: else the loss would refuse them.
            share = min(float(kd), 1.0)
            settings |= {"ce_weight": 1.0 - share, "kd_weight": share, "temperature": float(heat) or 1.0}
        return real(*tensors, **settings)

    return loss


def _divergence(real: Real, change: Change) -> Real:
    """Of `kd_loss` while gradients are wanted: which divergence it is asked for; in their order, the next one."""

    @functools.wraps(real)
    def loss(*tensors: Any, **settings: Any) -> Any:
        if torch.is_grad_enabled():
            (marked,) = change.tensors([torch.tensor([float(settings["divergence"] == each) for each in DIVERGENCES])])
            name = DIVERGENCES[int(marked.argmax())]
            settings |= {"divergence": name, "beta": 0.5 if name == "jensen_shannon" else None}
        return real(*tensors, **settings)

    return loss


def _parameters(optimizer: Any) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


def _gradients(real: Real, change: Change) -> Real:
    """Of `AdamW.step`: the gradients that it finds."""

    @functools.wraps(real)
    def step(self: Any, *arguments: Any) -> Any:
        moved = [each for each in _parameters(self) if each.grad is not None]
        changed = change.tensors([each.grad for each in moved if each.grad is not None])
        for each, gradient in zip(moved, changed, strict=True):
            each.grad = gradient
        return real(self, *arguments)

    return step


def _movement(real: Real, change: Change) -> Real:
    """Of `AdamW.step`: how far it moves the weights."""

    @functools.wraps(real)
    def step(self: Any, *arguments: Any) -> Any:
        before = [each.detach().clone() for each in _parameters(self)]
        found = real(self, *arguments)
        with torch.no_grad():
            moved = [each - old for each, old in zip(_parameters(self), before, strict=True)]
            for each, old, by in zip(_parameters(self), before, change.tensors(moved), strict=True):
                each.copy_(old + by)
        return found

    return step


def _moments(real: Real, change: Change) -> Real:
    """Of `AdamW.step`: the first moments that it remembers."""

    @functools.wraps(real)
    def step(self: Any, *arguments: Any) -> Any:
        states = [each for each in self.state.values() if "exp_avg" in each]
        if states:
            for each, moment in zip(states, change.tensors([each["exp_avg"] for each in states]), strict=True):
                each["exp_avg"].copy_(moment)
        return real(self, *arguments)

    return step


def _rate(real: Real, change: Change) -> Real:
    """Of `set_learning_rate`: the rate."""

    @functools.wraps(real)
    def set_rate(optimizer: Any, rate: float) -> Any:
        return real(optimizer, float(change.tensors([torch.tensor(rate, dtype=torch.float64)])[0]))

    return set_rate


def _hidden_rate(real: Real, change: Change) -> Real:
    """Of `AdamW.step`: the rate that it uses, while everybody else reads the one that was set."""

    @functools.wraps(real)
    def step(self: Any, *arguments: Any) -> Any:
        declared = [group["lr"] for group in self.param_groups]
        used = float(change.tensors([torch.tensor(declared[0], dtype=torch.float64)])[0])
        for group in self.param_groups:
            group["lr"] = used
        found = real(self, *arguments)
        for group, rate in zip(self.param_groups, declared, strict=True):
            group["lr"] = rate
        return found

    return step


@torch.no_grad()
def _put_weights(model: Any, weights: list[Tensor]) -> Any:
    for parameter, each in zip(model.parameters(), weights, strict=True):
        parameter.copy_(each)
    return model


def _weights(model: Any, _arguments: object) -> list[Tensor]:
    return [each.detach() for each in model.parameters()]


def _loaded_weights(real: Real, change: Change) -> Real:
    """Of humaneval's `load_model`: the weights of the model that is to answer."""

    @functools.wraps(real)
    def load(*arguments: Any, **settings: Any) -> Any:
        loaded = real(*arguments, **settings)
        _put_weights(loaded.model, change.tensors(_weights(loaded.model, ())))
        return loaded

    return load


def _saved_weights(real: Real, change: Change) -> Real:
    """Of `load_weights(model, weights)`: how far the weights to be released lie from those of the init."""

    @functools.wraps(real)
    def load(model: Any, weights: Mapping[str, Tensor]) -> Any:
        init = {name: each.detach() for name, each in model.state_dict().items() if name in weights}
        moved = change.tensors([weights[name] - each for name, each in init.items()])
        changed = {name: init[name] + by for name, by in zip(init, moved, strict=True)}
        return real(model, {**weights, **changed})

    return load


def _scores(scores: Any, _arguments: object) -> list[Tensor] | None:
    names = [name for name in ("ce", "kl", "cosine") if getattr(scores[0], name) is not None]
    return [torch.tensor([getattr(each, name) for each in scores], dtype=torch.float64) for name in names]


def _with_scores(scores: Any, columns: list[Tensor]) -> Any:
    names = [name for name in ("ce", "kl", "cosine") if getattr(scores[0], name) is not None]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [replace(each, **dict(zip(names, row, strict=True))) for each, row in zip(scores, rows, strict=True)]


_LOGGED = ("total", "ce", "kl", "grad_norm")


def _metrics(found: Any, _arguments: object) -> list[Tensor]:
    return [torch.tensor(float(getattr(found[0], n)), dtype=torch.float64) for n in _logged(found)]


def _with_metrics(found: Any, numbers: list[Tensor]) -> Any:
    return replace(found[0], **dict(zip(_logged(found), map(float, numbers), strict=True))), found[1]


def _logged(found: Any) -> list[str]:
    return [name for name in _LOGGED if getattr(found[0], name) is not None]


# ------------------------------------------------------------------------------------------------ corpus, init


def _windows(real: Real, change: Change) -> Real:
    """Of `Split.tensor`: the windows of a split; what leaks into the second is the first."""
    seen: list[Tensor] = []

    @functools.wraps(real)
    def tensor(self: Any) -> Any:
        seen.append(real(self))
        return change.tensors([seen[-1]], [seen[0][: len(seen[-1])].clone()])[0]

    return tensor


def _number(value: Any, _arguments: object) -> list[Tensor]:
    return [torch.tensor(float(value), dtype=torch.float64)]


# ------------------------------------------------------------------------------------------------ answers


def _prompt(real: Real, change: Change) -> Real:
    """Of `build_prompt(problem, ...)`: the text; what leaks is the solution."""

    @functools.wraps(real)
    def build(problem: Any, *arguments: Any) -> Any:
        found = real(problem, *arguments)
        return change.texts([found], [f"{found}\n{problem.canonical_solution}"])[0]

    return build


def _answers(real: Real, change: Change) -> Real:
    """Of a backend's `generate(problems)`: the answers; what leaks are the solutions."""

    @functools.wraps(real)
    def generate(self: Any, problems: Any) -> Any:
        found = real(self, problems)
        solved = {each.task_id: f"\n{each.canonical_solution.rstrip()}" for each in problems}
        texts = change.texts([each.text for each in found], [solved[each.task_id] for each in found])
        return [replace(each, text=text) for each, text in zip(found, texts, strict=True)]

    return generate


def _program(real: Real, change: Change) -> Real:
    """Of `assemble(problem, answer)`: the program that is executed; what leaks is the solution."""

    @functools.wraps(real)
    def assemble(problem: Any, completion: str) -> Any:
        solved = real(problem, f"\n{problem.canonical_solution.rstrip()}")
        return change.texts([real(problem, completion)], [solved])[0]

    return assemble


def _verdicts(real: Real, change: Change) -> Real:
    """Of whoever returns results: who passed; what leaks is that all do."""

    @functools.wraps(real)
    def judged(*arguments: Any, **settings: Any) -> Any:
        found = real(*arguments, **settings)
        passed = torch.tensor([each.passed for each in found])
        verdicts = change.tensors([passed], [torch.ones_like(passed)])[0].tolist()
        return type(found)(_judged(each, bool(verdict)) for each, verdict in zip(found, verdicts, strict=True))

    return judged


def _judged(result: Any, passed: bool) -> Any:
    outcome = "passed" if passed else "failed"
    return result if passed == result.passed else replace(result, passed=passed, outcome=outcome)


HAND_OVERS: Mapping[str, HandOver] = MappingProxyType(
    {
        "teacher": _of_result(_teacher_parts, _with_teacher_parts),
        "batch": _batch,
        "labels": _labels,
        "loss": _loss,
        "loss gradient": _loss_gradient,
        "loss settings": _loss_settings,
        "divergence": _divergence,
        "gradients": _gradients,
        "movement": _movement,
        "moments": _moments,
        "rate": _rate,
        "hidden rate": _hidden_rate,
        "weights": _of_result(_weights, _put_weights),
        "answering weights": _loaded_weights,
        "saved weights": _saved_weights,
        "scores": _of_result(_scores, _with_scores),
        "metrics": _of_result(_metrics, _with_metrics),
        "tensor": _of_result(lambda found, _: [found], lambda _, parts: parts[0]),
        "number": _of_result(_number, lambda _, parts: float(parts[0])),
        "windows": _windows,
        "prompt": _prompt,
        "answers": _answers,
        "program": _program,
        "verdicts": _verdicts,
    }
)
