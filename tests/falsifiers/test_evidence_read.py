"""What the built-in falsifiers read: only evidence that they declare, and only what engines write there."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from builtin_uses import REGISTRY, USES
from refute import Bench, Outcome
from refute.falsifier.context import Context, Evidence
from refute.falsifier.runner import bench_bars, parameters_of
from refute.humaneval import Result
from refute.spec.experiments.evidence.distill import LossFigures
from refute.spec.experiments.evidence.humaneval import Result as ResultRow
from refute.spec.experiments.evidence_files import FILES, ArraysFile, Folder, JsonFile, RowsFile


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

    def rows_by(self, file: str, key: str) -> dict[Any, dict[str, Any]]:
        """As the evidence's, with a note."""
        taken = self._note(file)
        taken.add(key)
        return {value: Keys(row, taken) for value, row in self._evidence.rows_by(file, key).items()}

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


def test_every_need_of_a_built_in_falsifier_is_planned_evidence() -> None:
    """What nothing makes would leave its falsifier without a verdict; `humaneval_previous` is a release's own."""
    needs = {need for falsifier in REGISTRY.values() for need in falsifier.needs}
    assert needs - FILES.keys() == {"humaneval_previous"}


@pytest.mark.parametrize("name", REGISTRY)
def test_what_is_read_is_what_engines_write(name: str, real: dict[str, Evidence], tmp_path: Path) -> None:
    """Every file that a falsifier opens, and every key that it takes out of one, is in the model of that file.

    And it asks for no evidence that it does not declare: that would not be there in a run.
    """
    use = next(use for use in USES if use.uses == name)
    for number, control in enumerate(REGISTRY[name].controls):
        bench = Bench(tmp_path / str(number), parameters_of(REGISTRY[name], use), real, bench_bars(use))
        control.build(bench)
        notes = ReadLog(bench.context())
        with suppress(*control.raises) if control.expected is Outcome.ERROR else nullcontext():
            list(REGISTRY[name].measure(notes))  # type: ignore[arg-type]  # a context that takes notes
        assert notes.asked <= set(REGISTRY[name].needs)
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
    # Which sample it is only results of several samples say.
    assert {field.name for field in dataclasses.fields(Result)} >= set(ResultRow.model_fields) - {"sample"}
    assert set(get_args(get_type_hints(Result)["outcome"])) == {"passed", "failed", "timeout", "error"}
