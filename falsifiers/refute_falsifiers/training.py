"""Did the run happen as declared, and did the student come closer to its teacher?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def _run(
    bench: Bench,
    *,
    rows: int = 4,
    tokens: int = 8,
    changed: int = 9,
    device: str = "cpu",
    declared: Mapping[str, Any] | None = None,
    total: float | None = None,
    peak: float = 0.001,
    repeated: bool = False,
    off: float = 0.0,
    alone: bool = False,
) -> None:
    run = str(bench.parameters["run"])
    without = {**_TRAINING, **_WITHOUT_TEACHER}
    used = without if alone or run == "ce_control" else _TRAINING
    training = {**(without if alone else _TRAINING), **(declared or {})}
    bench.put("release", "release.json", {"distillation": {"training": training, "device": "cpu"}})
    ce, kl = 3.0, 0.5 if used["kd_weight"] else None
    loss = (ce if kl is None else 0.3 * ce + 0.7 * 2.0**2 * kl) if total is None else total
    metrics = [
        {"step": n + 1, "ce": ce, "kl": kl, "total": loss, "lr": peak / (n + 1), "tokens": tokens} for n in range(rows)
    ]
    metrics[-1]["total"] = loss + off
    if repeated:
        metrics[-1]["step"] = rows - 1
    bench.put(run, "metrics.jsonl", metrics)
    summary = {"tensors": 9, "changed_tensors": changed, "device": device, "dtype": "float32", "seed": 17}
    bench.put(run, "summary.json", {**summary, "effective_config": used})


def a_complete_run(bench: Bench) -> None:
    """Every step made, every token counted, every tensor changed, every setting applied."""
    _run(bench)


def weights_copied(bench: Bench) -> None:
    """Training that clones its input: steps are logged, no tensor changes."""
    _run(bench, changed=0)


def one_supervised_position(bench: Bench) -> None:
    """Only the last position of each sequence is supervised."""
    _run(bench, tokens=2)


def a_run_cut_short(bench: Bench) -> None:
    """Fewer steps than declared."""
    _run(bench, rows=3)


def a_step_made_twice(bench: Bench) -> None:
    """As many rows and tokens as declared, but one step stands there twice and another is missing."""
    _run(bench, repeated=True)


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


def silently_on_the_cpu(bench: Bench) -> None:
    """Declared for the CPU, run elsewhere; the same as declared for a GPU and run on the CPU."""
    _run(bench, device="cuda")


def recorded_but_never_passed_on(bench: Bench) -> None:
    """The release declares a temperature that the trainer did not get."""
    _run(bench, declared={"temperature": 4.0})


def temperature_squared_missing(bench: Bench) -> None:
    """The logged loss is not what the declared weights and temperature make of its parts."""
    _run(bench, total=0.3 * 3.0 + 0.7 * 0.5)


def another_learning_rate(bench: Bench) -> None:
    """The schedule never reaches the declared learning rate."""
    _run(bench, peak=0.0001)


def a_rate_above_the_declared(bench: Bench) -> None:
    """The schedule goes beyond the declared learning rate."""
    _run(bench, peak=0.0015)


def a_rate_that_steps_over_its_peak(bench: Bench) -> None:
    """A short schedule comes within a tenth of the declared rate."""
    _run(bench, peak=0.00095)


def one_total_of_many(bench: Bench) -> None:
    """The loss of the last step alone is not made of its parts."""
    _run(bench, off=0.01)


def totals_that_were_rounded(bench: Bench) -> None:
    """A thousandth of the loss is what printing it may cost."""
    _run(bench, off=0.0018)


def cross_entropy_alone(bench: Bench) -> None:
    """A run without a teacher: there is no KL to be weighed."""
    _run(bench, alone=True)


_EFFECTIVE: dict[str, Any] = {
    "measures": {"deviations": "settings"},
    "controls": (
        known_good(a_complete_run),
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


def _evals(bench: Bench, kl: list[float], cosine: Sequence[float | None], first: int = 0) -> None:
    rows = [
        {"step": first + 50 * n, "heldout_kl": k, "probe_cosine": c, "windows": 8}
        for n, (k, c) in enumerate(zip(kl, cosine, strict=True))
    ]
    bench.put("student", "evals.jsonl", rows)


_FALLING = [3.0, 2.5, 2.2, 2.1, 2.0, 1.9, 1.85, 1.8]
_RISING = [0.50, 0.60, 0.66, 0.65, 0.70, 0.72, 0.73, 0.74]


def a_student_that_follows(bench: Bench) -> None:
    """KL falls and the cosine rises, with one step back."""
    _evals(bench, _FALLING, _RISING)


def a_student_that_stands_still(bench: Bench) -> None:
    """Nothing moves at all."""
    _evals(bench, [3.0] * 8, [0.5] * 8)


def a_student_that_runs_away(bench: Bench) -> None:
    """KL rises and the cosine falls."""
    _evals(bench, _FALLING[::-1], _RISING[::-1])


def a_run_without_that_step(bench: Bench) -> None:
    """KL falls, in a run that ends before the step that the spec names."""
    _evals(bench, _FALLING[:2], _RISING[:2])


def a_run_measured_too_late(bench: Bench) -> None:
    """KL falls, but nobody knows from where: the first evaluation is of step 50."""
    _evals(bench, _FALLING, _RISING, first=50)


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
    rows = [row for row in context.evidence("student").rows("evals.jsonl") if row["step"] <= context.parameters["step"]]
    first, then = rows[0], rows[-1]
    if first["step"] != 0:
        raise ValueError(f"the first evaluation is of step {first['step']}, expected step 0")
    yield Measurement("kl_drop", first["heldout_kl"] - then["heldout_kl"], "nat/token", n=first["windows"])
    yield Measurement("at_step", then["step"], "steps", n=len(rows))


def a_teacher_asked_now_and_then(bench: Bench) -> None:
    """The cosine rises, and some evaluations did not ask the teacher."""
    _evals(bench, [2.0] * 10, [None, *_RISING, None])


def a_cosine_that_wanders(bench: Bench) -> None:
    """Up more often than down, which may be chance."""
    _evals(bench, _FALLING, [0.50, 0.56, 0.48, 0.55, 0.47, 0.57, 0.49, 0.53])


@falsifier(
    "cosine-trend",
    needs=("student",),
    measures={"slope": "cosine/kstep"},
    controls=(
        known_good(a_student_that_follows),
        known_bad(a_student_that_stands_still),
        known_bad(a_student_that_runs_away),
        known_good(a_teacher_asked_now_and_then),
        known_open(a_cosine_that_wanders),
    ),
)
def cosine_trend(context: Context) -> Iterator[Measurement]:
    """Refuted when the logit cosine to the teacher on the probe set does not rise over the run (Theil-Sen)."""
    rows = [row for row in context.evidence("student").rows("evals.jsonl") if row["probe_cosine"] is not None]
    slope, interval = stats.trend([row["step"] / 1000 for row in rows], [row["probe_cosine"] for row in rows])
    yield Measurement("slope", slope, "cosine/kstep", n=len(rows), interval=interval)
