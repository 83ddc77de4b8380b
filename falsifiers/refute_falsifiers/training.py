"""Did the run happen as declared, and did the student come closer to its teacher?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats

_TRAINING = {
    "steps": 4,
    "batch_size": 2,
    "seq_len": 5,
    "ce_weight": 0.3,
    "kd_weight": 0.7,
    "temperature": 2.0,
    "learning_rate": 0.001,
    "min_learning_rate": 0.0001,
    "dtype": "float32",
    "seed": 17,
}
# What the control of a release is trained with in place of its weights.
_WITHOUT_TEACHER = {"ce_weight": 1.0, "kd_weight": 0.0}


def _training(context: Context) -> dict[str, Any]:
    distillation: dict[str, Any] = context.evidence("release").json("release.json")["distillation"]
    changes = _WITHOUT_TEACHER if context.parameters["run"] == "ce_control" else {}
    return {**distillation["training"], **changes, "device": distillation["device"]}


# ------------------------------------------------------------------------------------------------ the run itself


def _happened(bench: Bench, *, twice: bool = False, **wrong: int) -> None:
    """A run as declared, but for the measurements in `wrong`. `twice`: another step stands in a missing one's place."""
    found = bench.values({"missing_tokens": 0, "unchanged_tensors": 0, "missing_steps": 0}, wrong, low=0, whole=True)
    made, missing = 4, found["missing_steps"]
    steps = made + missing
    tokens = steps * 8 - found["missing_tokens"]
    numbers = [*range(1, made + 1), *([made] * missing if twice else [])]
    rows = [{"step": n, "ce": 3.0, "kl": 0.5, "total": 2.3, "lr": 1e-3, "tokens": 0} for n in numbers]
    for place, row in enumerate(rows):
        row["tokens"] = tokens // len(rows) + (place < tokens % len(rows))
    training = {**_TRAINING, "steps": steps}
    bench.put("release", "release.json", {"distillation": {"training": training, "device": "cpu"}})
    run = str(bench.parameters["run"])
    bench.put(run, "metrics.jsonl", rows)
    tensors = max(9, found["unchanged_tensors"])
    summary = {"tensors": tensors, "changed_tensors": tensors - found["unchanged_tensors"]}
    bench.put(run, "summary.json", summary)


def a_complete_run(bench: Bench) -> None:
    """Every step made, every token counted, every tensor changed."""
    _happened(bench)


def weights_copied(bench: Bench) -> None:
    """Training that clones its input: steps are logged, no tensor changes."""
    _happened(bench, unchanged_tensors=9)


def one_supervised_position(bench: Bench) -> None:
    """Only the last position of each sequence is supervised."""
    _happened(bench, missing_tokens=24)


def a_run_cut_short(bench: Bench) -> None:
    """Fewer steps than declared."""
    _happened(bench, missing_steps=1, missing_tokens=8)


def a_step_made_twice(bench: Bench) -> None:
    """As many rows and tokens as declared, but one step stands there twice and another is missing."""
    _happened(bench, missing_steps=1, twice=True)


_HAPPENED: dict[str, Any] = {
    "measures": {"missing_tokens": "tokens", "unchanged_tensors": "tensors", "missing_steps": "steps"},
    "controls": (
        known_good(a_complete_run),
        known_bad(weights_copied),
        known_bad(one_supervised_position),
        known_bad(a_run_cut_short),
        known_bad(a_step_made_twice),
    ),
}


@falsifier("training-happened", needs=("student", "release"), parameters={"run": "student"}, **_HAPPENED)
@falsifier("control-training-happened", needs=("ce_control", "release"), parameters={"run": "ce_control"}, **_HAPPENED)
def training_happened(context: Context) -> Iterator[Measurement]:
    """Refuted when steps or supervised tokens are missing, or a tensor is still what it was."""
    declared = _training(context)
    student = context.evidence(str(context.parameters["run"]))
    metrics, summary = student.rows("metrics.jsonl"), student.json("summary.json")
    steps: int = declared["steps"]
    expected = steps * declared["batch_size"] * (declared["seq_len"] - 1)
    seen = sum(row["tokens"] for row in metrics)
    yield Measurement("missing_steps", steps - len({row["step"] for row in metrics}), "steps", n=steps)
    yield Measurement("missing_tokens", expected - seen, "tokens", n=expected)
    unchanged = summary["tensors"] - summary["changed_tensors"]
    yield Measurement("unchanged_tensors", unchanged, "tensors", n=summary["tensors"])


# Settings that nothing else is computed from: more of them differ where a bar allows some.
_SPARE = ("batch_size", "seq_len", "min_learning_rate", "steps", "dtype", "seed")


def _configured(
    bench: Bench,
    own: int = 0,
    *,
    device: str = "cpu",
    declared: Mapping[str, Any] = MappingProxyType({}),
    total: float | None = None,
    peak: float = 0.001,
    off: float = 0.0,
    alone: bool = False,
) -> None:
    """A run whose settings deviate in `own` places, given by the rest, and in as many more as the bar then wants."""
    bar = bench.bar("deviations")
    limits: dict[str, Any] = {"low": own, "high": own + len(_SPARE), "whole": True}
    count = int(bar.failing(own, **limits) if own else bar.holding(0, **limits))
    run = str(bench.parameters["run"])
    without = {**_TRAINING, **_WITHOUT_TEACHER}
    used = without if alone or run == "ce_control" else _TRAINING
    other = dict.fromkeys(_SPARE[: count - own], -1)
    training = {**(without if alone else _TRAINING), **other, **declared}
    bench.put("release", "release.json", {"distillation": {"training": training, "device": "cpu"}})
    ce, kl = 3.0, 0.5 if used["kd_weight"] else None
    loss = (ce if kl is None else 0.3 * ce + 0.7 * 2.0**2 * kl) if total is None else total
    metrics = [{"step": n, "ce": ce, "kl": kl, "total": loss, "lr": peak / n, "tokens": 8} for n in range(1, 5)]
    metrics[-1]["total"] = loss + off
    bench.put(run, "metrics.jsonl", metrics)
    summary = {"device": device, "dtype": "float32", "seed": 17}
    bench.put(run, "summary.json", {**summary, "effective_config": used})


def every_setting_applied(bench: Bench) -> None:
    """Settings, device, rate and loss are those that were declared."""
    _configured(bench)


def silently_on_the_cpu(bench: Bench) -> None:
    """Declared for the CPU, run elsewhere; the same as declared for a GPU and run on the CPU."""
    _configured(bench, 1, device="cuda")


def recorded_but_never_passed_on(bench: Bench) -> None:
    """The release declares a temperature that the trainer did not get; with a teacher, the loss follows from it."""
    own = 1 if bench.parameters["run"] == "ce_control" else 2
    _configured(bench, own, declared={"temperature": 4.0})


def temperature_squared_missing(bench: Bench) -> None:
    """The logged loss is not what the declared weights and temperature make of its parts."""
    _configured(bench, 1, total=0.3 * 3.0 + 0.7 * 0.5)


def another_learning_rate(bench: Bench) -> None:
    """The schedule never reaches the declared learning rate."""
    _configured(bench, 1, peak=0.0001)


def a_rate_above_the_declared(bench: Bench) -> None:
    """The schedule goes beyond the declared learning rate."""
    _configured(bench, 1, peak=0.0015)


def a_rate_that_steps_over_its_peak(bench: Bench) -> None:
    """A short schedule comes within a tenth of the declared rate."""
    _configured(bench, peak=0.00095)


def one_total_of_many(bench: Bench) -> None:
    """The loss of the last step alone is not made of its parts."""
    _configured(bench, 1, off=0.01)


def totals_that_were_rounded(bench: Bench) -> None:
    """A thousandth of the loss is what printing it may cost."""
    _configured(bench, off=0.0018)


def cross_entropy_alone(bench: Bench) -> None:
    """A run without a teacher: there is no KL to be weighed."""
    _configured(bench, alone=True)


_EFFECTIVE: dict[str, Any] = {
    "measures": {"deviations": "settings"},
    "controls": (
        known_good(every_setting_applied),
        known_bad(silently_on_the_cpu),
        known_bad(recorded_but_never_passed_on),
        known_bad(temperature_squared_missing),
        known_bad(another_learning_rate),
        known_bad(a_rate_above_the_declared),
        known_bad(one_total_of_many),
        known_good(a_rate_that_steps_over_its_peak),
        known_good(totals_that_were_rounded),
        known_good(cross_entropy_alone),
    ),
}


@falsifier("effective-configuration", needs=("student", "release"), parameters={"run": "student"}, **_EFFECTIVE)
@falsifier(
    "control-effective-configuration", needs=("ce_control", "release"), parameters={"run": "ce_control"}, **_EFFECTIVE
)
def effective_configuration(context: Context) -> Iterator[Measurement]:
    """Refuted when the trainer's settings, device or logged loss are not those that the release declares."""
    declared = _training(context)
    student = context.evidence(str(context.parameters["run"]))
    summary, metrics = student.json("summary.json"), student.rows("metrics.jsonl")
    effective = {
        **summary["effective_config"],
        **{name: summary[name] for name in ("device", "dtype", "seed")},
    }
    wrong = sum(effective.get(name) != value for name, value in declared.items())
    wrong += any(abs(row["total"] - _loss(row, declared)) > 1e-3 * max(1.0, abs(row["total"])) for row in metrics)
    # Warm-up and cosine touch the declared rate once; a short schedule may step over it by a little.
    peak = max(row["lr"] for row in metrics)
    wrong += not 0.9 * declared["learning_rate"] <= peak <= declared["learning_rate"] * (1 + 1e-9)
    yield Measurement("deviations", wrong, "settings", n=len(declared) + 2)


def _loss(row: Mapping[str, Any], declared: Mapping[str, Any]) -> float:
    kd = declared["kd_weight"] * declared["temperature"] ** 2 * (row["kl"] or 0.0)
    return float(declared["ce_weight"] * row["ce"] + kd)


# ------------------------------------------------------------------------------------------------ learning


def _step_of(bench: Bench) -> int:
    return int(bench.parameters["step"])


def _descent(
    bench: Bench, drop: float = 0.8, *, failing: bool = False, until: int | None = None, first: int = 0
) -> None:
    """KL that falls by `drop` up to the step of this use, or as far as the bar wants; not, where it is to be `failing`.

    `until`: the last evaluation before, which fails the bar for it.
    """
    bar, at_step, step = bench.bar("kl_drop"), bench.bar("at_step"), _step_of(bench)
    fallen = (bar.failing if failing else bar.holding)(drop, clear=True)
    find, preferred = (at_step.holding, step) if until is None else (at_step.failing, until)
    compared = int(find(preferred, low=0 if fallen == 0 else 1, high=step, whole=True))
    start = max(3.0, 1.0 + fallen)
    rows = [(0, start), (compared, start - fallen), *([(step + 50, 0.5)] if until is None else [])]
    evals = [{"step": first + at, "heldout_kl": kl, "windows": 8} for at, kl in dict(rows).items()]
    bench.put("student", "evals.jsonl", evals)


def a_student_that_follows(bench: Bench) -> None:
    """KL falls up to the step that the spec names."""
    _descent(bench)


def a_student_that_stands_still(bench: Bench) -> None:
    """KL does not move at all."""
    _descent(bench, 0.0, failing=True)


def a_student_that_runs_away(bench: Bench) -> None:
    """KL rises."""
    _descent(bench, -0.8, failing=True)


def a_run_without_that_step(bench: Bench) -> None:
    """KL falls, in a run that ends before the step that the spec names."""
    _descent(bench, until=_step_of(bench) // 2)


def a_run_measured_too_late(bench: Bench) -> None:
    """KL falls, but nobody knows from where: the first evaluation is not of step 0."""
    _descent(bench, first=_step_of(bench) // 2)


@falsifier(
    "early-descent",
    needs=("student",),
    measures={"kl_drop": "nat/token", "at_step": "steps"},
    parameters={"step": 100},
    controls=(
        known_good(a_student_that_follows),
        known_bad(a_student_that_stands_still),
        known_bad(a_student_that_runs_away),
        known_bad(a_run_without_that_step),
        known_unusable(a_run_measured_too_late, raises=ValueError),
    ),
)
def early_descent(context: Context) -> Iterator[Measurement]:
    """Refuted when held-out KL to the teacher at `step` is not below what it was before the first step.

    `at_step` is the evaluation that was compared: the last one up to `step`.
    """
    evals = context.evidence("student").rows_by("evals.jsonl", "step").values()
    rows = [row for row in evals if row["step"] <= context.parameters["step"]]
    first, then = rows[0], rows[-1]
    if first["step"] != 0:
        raise ValueError(f"the first evaluation is of step {first['step']}, expected step 0")
    yield Measurement("kl_drop", first["heldout_kl"] - then["heldout_kl"], "nat/token", n=first["windows"])
    yield Measurement("at_step", then["step"], "steps", n=len(rows))


# What ten evaluations lie off a straight line.
_WIGGLE = (-0.04, 0.02, 0.05, -0.01, 0.01, 0.0, -0.02, -0.01, 0.01, 0.0)
# Up more often than down, by 0.03 in eight evaluations: which may be chance.
_WANDERING = (0.0, 0.06, -0.02, 0.05, -0.03, 0.07, -0.01, 0.03)


def _cosines(bench: Bench, cosines: Sequence[float | None]) -> None:
    rows = [{"step": 50 * n, "heldout_kl": 2.0, "probe_cosine": c, "windows": 8} for n, c in enumerate(cosines)]
    bench.put("student", "evals.jsonl", rows)


def _line(bench: Bench, slope: float, *, failing: bool = False) -> list[float]:
    """Cosines about a line of this slope, or of another that the bar wants, and no further off than it allows."""
    bar = bench.bar("slope")
    rise = (bar.failing if failing else bar.holding)(slope, clear=True)
    off = 0.0 if rise == 0 else min(1.0, bar.room(rise) / 4)
    return [0.5 + rise * 0.05 * n + off * wiggle for n, wiggle in enumerate(_WIGGLE)]


def a_cosine_that_rises(bench: Bench) -> None:
    """With a step back now and then."""
    _cosines(bench, _line(bench, 0.7))


def a_cosine_that_stands_still(bench: Bench) -> None:
    """Nothing moves at all."""
    _cosines(bench, _line(bench, 0.0, failing=True))


def a_cosine_that_falls(bench: Bench) -> None:
    """The student moves away from its teacher."""
    _cosines(bench, _line(bench, -0.7, failing=True))


def a_teacher_asked_now_and_then(bench: Bench) -> None:
    """The cosine rises, and some evaluations did not ask the teacher."""
    _cosines(bench, [None, *_line(bench, 0.7), None])


def a_cosine_that_wanders(bench: Bench) -> None:
    """To the right side of the bar more often than not, which may be chance."""
    bar = bench.bar("slope")
    side = 1 if bar.satisfied_by(bar.bound + 0.05) else -1
    _cosines(bench, [0.5 + bar.bound * 0.05 * n + side * off for n, off in enumerate(_WANDERING)])


@falsifier(
    "cosine-trend",
    needs=("student",),
    measures={"slope": "cosine/kstep"},
    controls=(
        known_good(a_cosine_that_rises),
        known_bad(a_cosine_that_stands_still),
        known_bad(a_cosine_that_falls),
        known_good(a_teacher_asked_now_and_then),
        known_open(a_cosine_that_wanders),
    ),
)
def cosine_trend(context: Context) -> Iterator[Measurement]:
    """Refuted when the logit cosine to the teacher on the probe set does not rise over the run (Theil-Sen)."""
    evals = context.evidence("student").rows_by("evals.jsonl", "step").values()
    rows = [row for row in evals if row["probe_cosine"] is not None]
    slope, interval = stats.trend([row["step"] / 1000 for row in rows], [row["probe_cosine"] for row in rows])
    yield Measurement("slope", slope, "cosine/kstep", n=len(rows), interval=interval)
