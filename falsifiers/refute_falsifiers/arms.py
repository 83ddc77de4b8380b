"""Do the student's run and its control differ in the loss, and in nothing else?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good

# What must differ between the two runs, and how.
_WEIGHTS = {"ce_weight": 1.0, "kd_weight": 0.0}
_TRAINING = {"steps": 4, "ce_weight": 0.3, "kd_weight": 0.7, "temperature": 2.0, "learning_rate": 0.001, "seed": 17}
# Of settings or steps that a control makes differ, whatever the bar.
_MOST = 100_000


# How steps differ: the row of the control in the place of a student's.
_Row = dict[str, Any]


def _another_batch(row: _Row) -> Sequence[_Row]:
    return [row | {"batch_sha256": f"{row['batch_sha256']}x"}]


def _another_rate(row: _Row) -> Sequence[_Row]:
    return [row | {"lr": row["lr"] * 0.1}]


def _no_step(_: _Row) -> Sequence[_Row]:
    return []


def _count(bench: Bench, measurement: str, own: int) -> int:
    """So many that the bar is failed, `own` of them at least; without any of its own, so many that it is cleared."""
    bar = bench.bar(measurement)
    return int((bar.failing if own else bar.holding)(own, low=own, high=_MOST, whole=True))


def _arms(
    bench: Bench,
    *,
    lacking: str = "",
    other: Callable[[_Row], Sequence[_Row]] | None = None,
    longer: bool = False,
    apart: float = 0.0,
    **own: Any,
) -> None:
    """Two runs; the control has settings of its `own`, those of its training by their names, and lacks one.

    Its last steps are `other`, in a run that is `longer` the student's: as many as the bar wants, and as many settings.
    """
    settings = len(own) + bool(lacking)
    spare = {f"spare_{n}": n for n in range(_count(bench, "differing_settings", settings) - settings)}
    differing = _count(bench, "differing_steps", int(other is not None))
    rows = [{"step": n, "batch_sha256": f"{n}" * 8, "lr": 0.001 / n, "tokens": 8} for n in range(1, 5 + differing)]
    changed = [row for n, row in enumerate(rows) for row in ((other or _another_batch)(row) if n >= 4 else [row])]
    bar = bench.bar("start_difference")
    start = (bar.failing if apart else bar.holding)(apart, low=0.0, clear=True)
    for run in ("student", "ce_control"):
        control = run == "ce_control"
        training = {**_TRAINING, **(_WEIGHTS if control else {})}
        identity: dict[str, Any] = {"init": "a" * 64, "corpus": {"train": "b" * 64}, "ranks": 1}
        if control:
            training |= {name: each for name, each in own.items() if name in training}
            identity |= {name: each for name, each in own.items() if name not in training} | spare
            identity.pop(lacking, None)
        bench.put(run, "summary.json", {"identity": {**identity, "training": training}})
        bench.put(run, "metrics.jsonl", changed if control is not longer else rows)
        # One window of three may begin elsewhere.
        first = [{"window": n, "ce_initial": 4.0 + n + (start if control and n == 1 else 0.0)} for n in range(3)]
        bench.put(run, "heldout_windows.jsonl", first)


def arms_of_one_comparison(bench: Bench) -> None:
    """All is equal but the weights of the loss."""
    _arms(bench)


def a_control_of_another_seed(bench: Bench) -> None:
    """The control declares another seed than it uses: its batches are the student's."""
    _arms(bench, seed=18)


def a_control_with_a_teacher(bench: Bench) -> None:
    """The control had the student's weights: nothing was compared."""
    _arms(bench, ce_weight=0.3, kd_weight=0.7)


def a_control_of_another_init(bench: Bench) -> None:
    """The files that the control began with are not the student's."""
    _arms(bench, init="c" * 64)


def a_control_on_other_text(bench: Bench) -> None:
    """The control was trained on another corpus."""
    _arms(bench, corpus={"train": "d" * 64})


def a_control_with_one_batch_of_its_own(bench: Bench) -> None:
    """The last batch of the control is not the student's."""
    _arms(bench, other=_another_batch)


def a_control_at_another_rate(bench: Bench) -> None:
    """The last step of the control is at a tenth of the student's rate."""
    _arms(bench, other=_another_rate)


def a_control_that_stopped_early(bench: Bench) -> None:
    """The control has a step less."""
    _arms(bench, other=_no_step)


def a_control_that_went_on(bench: Bench) -> None:
    """The control has a step more."""
    _arms(bench, other=_no_step, longer=True)


def a_control_with_a_setting_of_its_own(bench: Bench) -> None:
    """The control learns from a cache that the student has not."""
    _arms(bench, topk=8)


def a_control_without_a_setting(bench: Bench) -> None:
    """The control does not say how many processes shared it."""
    _arms(bench, lacking="ranks")


def a_control_that_began_elsewhere(bench: Bench) -> None:
    """Before its first step the control's loss is not the student's."""
    _arms(bench, apart=0.2)


@falsifier(
    "arms-alike",
    needs=("student", "ce_control"),
    measures={"differing_settings": "settings", "differing_steps": "steps", "start_difference": "nat/token"},
    controls=(
        known_good(arms_of_one_comparison),
        known_bad(a_control_of_another_seed),
        known_bad(a_control_with_a_teacher),
        known_bad(a_control_of_another_init),
        known_bad(a_control_on_other_text),
        known_bad(a_control_with_one_batch_of_its_own),
        known_bad(a_control_at_another_rate),
        known_bad(a_control_that_stopped_early),
        known_bad(a_control_that_went_on),
        known_bad(a_control_with_a_setting_of_its_own),
        known_bad(a_control_without_a_setting),
        known_bad(a_control_that_began_elsewhere),
    ),
)
def arms_alike(context: Context) -> Iterator[Measurement]:
    """Refuted when student and control differ in anything but the weights of the loss.

    In what each run says that it was made of (settings, init, corpus, teacher, ranks, versions), in the batch, rate and
    tokens of every step, and in the held-out losses before the first.
    """
    student, control = (context.evidence(name) for name in ("student", "ce_control"))
    own, other = (_settings(each.json("summary.json")["identity"]) for each in (student, control))
    due = own | {f"training.{name}": each for name, each in _WEIGHTS.items()}
    differing = sum(due.get(name) != other.get(name) for name in due.keys() | other.keys())
    yield Measurement("differing_settings", differing, "settings", n=len(due))
    steps, others = (
        {n: (row["batch_sha256"], row["lr"], row["tokens"]) for n, row in each.rows_by("metrics.jsonl", "step").items()}
        for each in (student, control)
    )
    different = sum(steps.get(step) != others.get(step) for step in steps.keys() | others.keys())
    yield Measurement("differing_steps", different, "steps", n=len(steps))
    first, second = (
        {n: row["ce_initial"] for n, row in each.rows_by("heldout_windows.jsonl", "window").items()}
        for each in (student, control)
    )
    apart = max(abs(first[window] - second[window]) for window in first)
    yield Measurement("start_difference", apart, "nat/token", n=len(first))


def _settings(identity: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted place."""
    found: dict[str, Any] = {}
    for name, value in identity.items():
        found |= _settings(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
