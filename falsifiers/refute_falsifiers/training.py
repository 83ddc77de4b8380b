"""Did the run happen as declared, did the student learn, and was its teacher worth it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, stats

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
# What must differ between the student's run and its control, and nothing else.
_WEIGHTS = ("ce_weight", "kd_weight")


def _training(context: Context) -> dict[str, Any]:
    distillation: dict[str, Any] = context.evidence("release").json("release.json")["distillation"]
    training: dict[str, Any] = distillation["training"]
    return {**training, "device": distillation["device"]}


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
) -> None:
    training = {**_TRAINING, **(declared or {})}
    bench.put("release", "release.json", {"distillation": {"training": training, "device": "cpu"}})
    ce, kl = 3.0, 0.5
    loss = 0.3 * ce + 0.7 * 2.0**2 * kl if total is None else total
    metrics = [
        {"step": n + 1, "ce": ce, "kl": kl, "total": loss, "lr": peak / (n + 1), "tokens": tokens} for n in range(rows)
    ]
    if repeated:
        metrics[-1]["step"] = rows - 1
    bench.put("student", "metrics.jsonl", metrics)
    summary = {"tensors": 9, "changed_tensors": changed, "device": device, "dtype": "float32", "seed": 17}
    bench.put("student", "summary.json", {**summary, "effective_config": _TRAINING})


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


@falsifier(
    "training-happened",
    needs=("student", "release"),
    measures={"missing_tokens": "tokens", "unchanged_tensors": "tensors", "missing_steps": "steps"},
    controls=(
        known_good(a_complete_run),
        known_bad(weights_copied),
        known_bad(one_supervised_position),
        known_bad(a_run_cut_short),
        known_bad(a_step_made_twice),
    ),
)
def training_happened(context: Context) -> Iterator[Measurement]:
    """Refuted when steps or supervised tokens are missing, or a tensor is still what it was."""
    declared = _training(context)
    student = context.evidence("student")
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


@falsifier(
    "effective-configuration",
    needs=("student", "release"),
    measures={"deviations": "settings"},
    controls=(
        known_good(a_complete_run),
        known_bad(silently_on_the_cpu),
        known_bad(recorded_but_never_passed_on),
        known_bad(temperature_squared_missing),
        known_bad(another_learning_rate),
    ),
)
def effective_configuration(context: Context) -> Iterator[Measurement]:
    """Refuted when the trainer's settings, device or logged loss are not those that the release declares."""
    declared = _training(context)
    student = context.evidence("student")
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


def _evals(bench: Bench, kl: list[float], cosine: list[float]) -> None:
    rows = [
        {"step": 50 * n, "heldout_kl": k, "probe_cosine": c, "windows": 8}
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


@falsifier(
    "cosine-trend",
    needs=("student",),
    measures={"slope": "cosine/kstep"},
    controls=(
        known_good(a_student_that_follows),
        known_bad(a_student_that_stands_still),
        known_bad(a_student_that_runs_away),
    ),
)
def cosine_trend(context: Context) -> Iterator[Measurement]:
    """Refuted when the logit cosine to the teacher on the probe set does not rise over the run (Theil-Sen)."""
    rows = [row for row in context.evidence("student").rows("evals.jsonl") if row["probe_cosine"] is not None]
    slope, interval = stats.trend([row["step"] / 1000 for row in rows], [row["probe_cosine"] for row in rows])
    yield Measurement("slope", slope, "cosine/kstep", n=len(rows), interval=interval)


# ------------------------------------------------------------------------------------------------ held-out loss

_BUMPS = (0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3, 0.2, -0.1, 0.15, -0.25, 0.0)


def _windows(initial: float, final: float) -> list[dict[str, Any]]:
    return [
        {"window": n, "ce_initial": initial + bump, "ce": final + 0.9 * bump, "kl": 1.0}
        for n, bump in enumerate(_BUMPS)
    ]


def _heldout(bench: Bench, initial: float, final: float, steps: int = 500) -> None:
    bench.put("student", "heldout_windows.jsonl", _windows(initial, final))
    bench.put("student", "summary.json", {"steps": steps})


def loss_that_falls(bench: Bench) -> None:
    """From 9 to 1 nat per token, far below any bar of the spec."""
    _heldout(bench, 9.0, 1.0)


def loss_that_stays(bench: Bench) -> None:
    """9 nat per token before and after."""
    _heldout(bench, 9.0, 9.5)


def too_few_steps(bench: Bench) -> None:
    """The loss falls, in a run of three steps."""
    _heldout(bench, 9.0, 1.0, steps=3)


@falsifier(
    "held-out-gain",
    needs=("student",),
    measures={"steps": "steps", "ce_drop": "nat/token"},
    controls=(known_good(loss_that_falls), known_bad(loss_that_stays), known_bad(too_few_steps)),
)
def held_out_gain(context: Context) -> Iterator[Measurement]:
    """Refuted when held-out cross-entropy is not lower after the run than before it (paired by window)."""
    student = context.evidence("student")
    rows = student.rows("heldout_windows.jsonl")
    drop, interval = stats.mean_interval([row["ce_initial"] - row["ce"] for row in rows])
    yield Measurement("ce_drop", drop, "nat/token", n=len(rows), interval=interval)
    yield Measurement("steps", student.json("summary.json")["steps"], "steps", n=1)


@falsifier(
    "held-out-loss",
    needs=("student",),
    measures={"heldout_ce": "nat/token"},
    controls=(known_good(loss_that_falls), known_bad(loss_that_stays)),
)
def held_out_loss(context: Context) -> Iterator[Measurement]:
    """Refuted when cross-entropy on held-out windows, at the released weights, does not clear the bar."""
    rows = context.evidence("student").rows("heldout_windows.jsonl")
    mean, interval = stats.mean_interval([row["ce"] for row in rows])
    yield Measurement("heldout_ce", mean, "nat/token", n=len(rows), interval=interval)


# ------------------------------------------------------------------------------------------------ against CE alone


def _against_control(bench: Bench, student: float, control: float, **settings: Any) -> None:
    for name, loss in (("student", student), ("ce_control", control)):
        bench.put(name, "heldout_windows.jsonl", _windows(9.0, loss))
    bench.put("student", "summary.json", {"effective_config": _TRAINING})
    alone = {**_TRAINING, "ce_weight": 1.0, "kd_weight": 0.0, **settings}
    bench.put("ce_control", "summary.json", {"effective_config": alone})


def a_teacher_that_helps(bench: Bench) -> None:
    """The student ends below its control."""
    _against_control(bench, 3.0, 3.5)


def a_teacher_that_harms(bench: Bench) -> None:
    """The student ends above its control."""
    _against_control(bench, 3.5, 3.0)


def a_control_with_fewer_steps(bench: Bench) -> None:
    """The student wins against a control that was given half the steps."""
    _against_control(bench, 3.0, 3.5, steps=2)


def a_control_that_was_taught_too(bench: Bench) -> None:
    """The control had the teacher as well: nothing was compared."""
    _against_control(bench, 3.0, 3.5, ce_weight=0.3, kd_weight=0.7)


@falsifier(
    "beats-ce-control",
    needs=("student", "ce_control"),
    measures={"ce_gain": "nat/token", "differing_settings": "settings"},
    controls=(
        known_good(a_teacher_that_helps),
        known_bad(a_teacher_that_harms),
        known_bad(a_control_with_fewer_steps),
        known_bad(a_control_that_was_taught_too),
    ),
)
def beats_ce_control(context: Context) -> Iterator[Measurement]:
    """Refuted when a control trained without the teacher, all else equal, has no higher held-out loss (paired)."""
    loss = {}
    for name in ("student", "ce_control"):
        rows = context.evidence(name).rows("heldout_windows.jsonl")
        loss[name] = {row["window"]: row["ce"] for row in rows}
    student, control = loss["student"], loss["ce_control"]
    if student.keys() != control.keys():
        raise ValueError("student and control were evaluated on different windows")
    gain, interval = stats.mean_interval([control[window] - student[window] for window in sorted(student)])
    yield Measurement("ce_gain", gain, "nat/token", n=len(student), interval=interval)
    own, other = (context.evidence(name).json("summary.json")["effective_config"] for name in ("student", "ce_control"))
    differing = sum(own[name] != other.get(name) for name in own if name not in _WEIGHTS)
    differing += (other["ce_weight"], other["kd_weight"]) != (1.0, 0.0)
    yield Measurement("differing_settings", differing, "settings", n=len(own))
