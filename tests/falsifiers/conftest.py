"""What controls of the built-in falsifiers are made of, and what each falsifier says of each of them."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from builtin_uses import REGISTRY, TASKS, USES, evidence, results
from refute import Bench, Measurement
from refute.falsifier.context import Evidence
from refute.falsifier.controls import Control
from refute.falsifier.runner import bench_bars, parameters_of
from refute.spec.bars.sequential import Design, every
from refute.spec.criteria import FalsifierUse
from refute.spec.experiments.evidence_files import REPLAYS

Measured = Callable[[FalsifierUse, Control], tuple[Measurement, ...]]
# What a replay's instruments say of answers that are known.
KNOWN_GOOD = [
    {"task_id": TASKS[9], "completion": "\n", "recorded": "\n", "passed": False, "recorded_passed": False},
]
_WRONG_LOSS = {
    **importlib.import_module("refute_falsifiers.kd_loss")._RIGHT,
    **dict.fromkeys(("value_abs_error", "gradient_rel_error", "ce_only_gradient_difference"), 0.5),
}
KNOWN_BAD = [
    {
        "task_id": TASKS[7],
        "completion": "\n",
        "recorded": "\n    return n - 1",
        "passed": False,
        "recorded_passed": True,
    }
]


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    """A stand-in for what the instruments of a run say of known answers, which some controls are made of."""
    kinds = ("canonical", "empty", "always_equal", "system_exit", "os_exit")
    files: dict[str, Any] = {
        f"results_{kind}.jsonl": results(range(164) if kind == "canonical" else ()) for kind in kinds
    }
    files["results_loop.jsonl"] = results((), "timeout")[:1]
    files["calibration.json"] = {
        **{kind: {"passed": 164 * (kind == "canonical"), "problems": 164} for kind in kinds},
        "isolation": "bubblewrap",
        "timeout_s": 10.0,
        "loop_outcome": "timeout",
    }
    whole = {str(number): 100 for number in range(164)}
    overlap = {
        "ngram": 10,
        "problems": 164,
        "corpus": {"documents": 9, "ngrams": 9000, "contaminated": {}},
        "benchmark": {"documents": 164, "ngrams": 16400, "contaminated": whole},
    }
    design = {**Design(15.0, 0.05, "pocock", every(8, 164)).as_json(), "order": TASKS}
    folder = tmp_path_factory.mktemp("real")
    again = {"known_good.jsonl": KNOWN_GOOD, "known_bad.jsonl": KNOWN_BAD}
    replays = {name: evidence(folder, name, again) for name in REPLAYS}
    ids, logits = np.zeros((2, 8), np.int32), np.zeros((2, 8, 32), np.float32)
    rolled = {
        "rolled.safetensors": {"input_ids": ids, "provider": logits + 3, "reference": logits},
        "rolled.json": {"max_abs": 3.0, "second_forward_max_abs": 0.0, "positions": 16},
    }
    return {
        **replays,
        "humaneval_calibration": evidence(folder, "humaneval_calibration", files),
        "teacher_probe": evidence(folder, "teacher_probe", rolled),
        "kd_math": evidence(folder, "kd_math", {"wrong.json": _WRONG_LOSS}),
        "contamination": evidence(folder, "contamination", {"overlap.json": overlap}),
        "humaneval_sequential": evidence(folder, "humaneval_sequential", {"design.json": design}),
    }


@pytest.fixture(scope="session")
def measured(real: dict[str, Evidence], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """What a falsifier says of one of its controls; each is measured once."""
    folder = tmp_path_factory.mktemp("benches")

    @cache
    def of(use_id: str, control: Control) -> tuple[Measurement, ...]:
        (use,) = [use for use in USES if use.id == use_id]
        place = folder / hashlib.sha256(f"{use_id}{control.name}".encode()).hexdigest()[:16]
        bench = Bench(place, parameters_of(REGISTRY[use.uses or ""], use), real, bench_bars(use))
        control.build(bench)
        return tuple(REGISTRY[use.uses or ""].measure(bench.context()))

    return lambda use, control: of(use.id, control)
