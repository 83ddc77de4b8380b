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
from refute.spec.experiments.evidence_files import REPLAYS, TRAININGS

Measured = Callable[[FalsifierUse, Control], tuple[Measurement, ...]]
# What a replay's instruments say of answers that are known.
KNOWN_GOOD = [
    {"task_id": TASKS[9], "completion": "\n", "recorded": "\n", "passed": False, "recorded_passed": False},
]
_WRONG_LOSS = {
    **importlib.import_module("refute_falsifiers.kd_loss")._RIGHT,
    **importlib.import_module("refute_falsifiers.kd_loss")._MADE,
    **dict.fromkeys(("value_abs_error", "gradient_rel_error", "ce_only_gradient_difference"), 0.5),
}
_WINDOWS = [{"window": number, "ce_initial": 4.0, "ce": 2.0} for number in range(8)]
_ACCOUNT = {
    "heldout_windows.jsonl": _WINDOWS,
    "evals.jsonl": [{"step": 0, "heldout_ce": 4.0}, {"step": 9, "heldout_ce": 2.0}],
    "summary.json": {"model_step": 9},
    "metrics.jsonl": [
        {"step": n, "ce": 3.0, "kl": 0.5, "total": 2.3, "grad_norm": 1.0, "batch_sha256": f"{n}"} for n in range(1, 10)
    ],
    "custody.json": {"entropy": "0" * 32, "resumed": []},
    "first_step.safetensors": {"gradient/q.weight": np.ones(4), "after/q.weight": np.zeros(4)},
    "trace.safetensors": {name: np.ones((10, 3)) for name in ("weights", "first_moment")},
}
_AUDIT = {
    "heldout.jsonl": _WINDOWS[:4],
    "tensors.json": {"tensors": 9, "unchanged": 0},
    "perturbed.jsonl": [{"window": 1, "ce_initial": 6.0, "ce": 5.0}],
    "untrained.json": {"tensors": 9, "unchanged": 9},
}
_FOREIGN_STEP = {"ce": 9.0, "kl": 4.0, "total": 7.0, "grad_norm": 2.0, "tokens": 8}
_REDO = {
    "batches.jsonl": [{"step": n, "batch_sha256": f"{n}"} for n in range(1, 10)],
    "foreign_first_step.json": _FOREIGN_STEP,
    "foreign_first_step.safetensors": {"gradient/q.weight": -np.ones(4), "before/q.weight": np.zeros(4)},
    "foreign_segments.jsonl": [
        {"segment": 0, "start": 4, "end": 5, "target": "trace", "distance": None, "broken": 0},
    ],
    "foreign_steps.jsonl": [{"segment": 0, "step": 5, **_FOREIGN_STEP}],
    "foreign.safetensors": {name: -np.ones((1, 3)) for name in ("weights", "first_moment")},
    "released.json": {"broken": 0},
}
_RELEASE = {"distillation": {"training": {"learning_rate": 1e-3, "warmup_steps": 4, "weight_decay": 0.1}}}
_PLANTED = {
    **dict.fromkeys(("foreign_windows", "misplaced_windows", "contaminated_files", "changed_files"), 1),
    "files": 9,
    "windows": 65,
    "heldout_windows": 64,
    "known_windows": 64,
}
_MISPLACED = [
    {"window": 0, "file": None, "stated": "a.py"},
    {"window": 1, "file": "a.py", "stated": "another than a.py"},
]
# What the hub's own client makes of a lost answer, and of one bit that changed on the way.
_REHEARSAL = {
    "plain_pushes.jsonl": [
        {
            "fault": "commit: apply_drop, once",
            "first": "failed",
            "published": False,
            "commits": 1,
            "expected": "published",
            "second": "published",
            "published_then": True,
            "commits_then": 1,
        }
    ],
    "plain_pulls.jsonl": [{"fault": "lfs_get: corrupt, once", "accepted": True, "equal": False}],
}
_FAMILIARITY = [
    {"model": model, "task_id": task, "original": 1.0, "renamed": renamed}
    for model, renamed in (("teacher", 1.4), ("init", 1.0), ("student", 1.1))
    for task in TASKS[:24]
]
_TAUGHT = [{"model": "student", "task_id": task, "original": 0.8, "renamed": 2.9} for task in TASKS[:8]]
# What probes found broken in sabotaged builds.
_PROBES = [*(f"P{number}" for number in range(1, 13)), "SILENT", "CHAOS"]
_DOGFOOD = {
    "builds.jsonl": [{"name": f"sabotaged-{probe}", "probe": probe} for probe in _PROBES],
    "observations.jsonl": [
        {"build": f"sabotaged-{probe}", "probe": probe, "subject": "model", "state": "broken", "found": "status 0"}
        for probe in _PROBES
    ],
}
# What the proofs of an export say of files with a planted fault.
_OTHER_END = {**dict.fromkeys(("tokenizer", "generation_config", "config"), (2,)), "gguf": (3,), "turn_end": 2}
_SPOILT = {"kind": "Q8_0", "wanted": "Q8_0", "numbers": 32, "labelled": True, "bits": 8.5, "not_finite": 32}
_SIGNED = {
    "digest": "d" * 64,
    "files": 3,
    "signatures": [{"failed": None, "about": "e" * 64}] * 2,
    "differing": ("config.json",),
}
_EXPORT_PROOFS: dict[str, dict[str, Any]] = {
    "converted": {
        "conversion.json": {
            "known_bad": {"rope": {"positions": [*range(32), 1024], "kl": [0.2] * 33, "same_first": [True] * 33}}
        }
    },
    "signed": {
        "signing.json": {
            "known_bad": dict.fromkeys(
                ("changed_file", "missing_file", "missing_signature", "missing_verdict", "another_key"), _SIGNED
            )
        }
    },
    "quantised": {
        "quantisation.json": {
            "known_bad": {
                "nan": {"file": "x", "label": "Q8_0", "label_bits": 8.5, "tensors": [{**_SPOILT, "relative_l2": 0.0}]}
            }
        }
    },
    "tokenised": {
        "tokens.json": {
            "known_bad": {"split": {"texts": [{"kind": "digits", "text": "12", "folder": (1, 2), "llama_cpp": (1,)}]}},
            "known_bad_ends": {**_OTHER_END, "stops": {"transformers": 1, "llama.cpp": None}},
        }
    },
    "rendered": {
        "templates.json": {
            "known_bad": {
                "none": [
                    {
                        "conversation": "one",
                        "texts": {
                            **dict.fromkeys(("tokenizer_config.json", "chat_template.jinja", "llama.cpp"), "said"),
                            "gguf": None,
                        },
                        "begins": 1,
                    }
                ]
            }
        }
    },
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
    files["results_near_miss.jsonl"] = results((3,))[:16]
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
        "renamed": {"problems": 2, "corpus": {"contaminated": {}}, "benchmark": {"contaminated": {"3": 1, "164": 1}}},
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
        **{
            name: evidence(folder, name, files)
            for run in TRAININGS
            for name, files in ((run, _ACCOUNT), (f"{run}_audit", _AUDIT), (f"{run}_redo", _REDO))
        },
        "dogfood": evidence(folder, "dogfood", _DOGFOOD),
        "release": evidence(folder, "release", {"release.json": _RELEASE}),
        "corpus_audit": evidence(folder, "corpus_audit", {"planted.json": _PLANTED}),
        "heldout_places": evidence(folder, "heldout_places", {"planted.jsonl": _MISPLACED}),
        "memorisation": evidence(folder, "memorisation", {"familiarity.jsonl": _FAMILIARITY, "taught.jsonl": _TAUGHT}),
        "humaneval_calibration": evidence(folder, "humaneval_calibration", files),
        "teacher_probe": evidence(folder, "teacher_probe", rolled),
        "kd_math": evidence(folder, "kd_math", {"wrong.json": _WRONG_LOSS}),
        "generations": evidence(
            folder, "generations", {"logits.safetensors": {"newer": logits, "faulted": logits + 3}}
        ),
        "rehearsal": evidence(folder, "rehearsal", _REHEARSAL),
        **{name: evidence(folder, name, files) for name, files in _EXPORT_PROOFS.items()},
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
