"""Read the inputs of a distillation out of its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from refute.errors import EvidenceError
from refute.judge.predicate.inputs import CorpusInput, EvaluationInput, Inputs, ModelInput, SamplerInput, TrainingInput
from refute.judge.run.folder import EvidenceLine
from refute.spec.fields import Closed, first_fault

_TRAININGS = ("student", "ce_control")


_EVALUATIONS = ("humaneval_teacher", "humaneval_init", "humaneval_student", "humaneval_null")


Kind = TypeVar("Kind", bound=Closed)


def gather_inputs(lines: Mapping[str, EvidenceLine]) -> Inputs:
    """What the evidence of a run says about its inputs. Raises EvidenceError where it states something else there."""
    lineage = _json(lines, "lineage", "lineage.json") or {}
    trainings = {
        name: _pick(TrainingInput, f"{name}/summary.json", _json(lines, name, "summary.json")) for name in _TRAININGS
    }
    evaluations = {name: _evaluation(name, _json(lines, name, "summary.json")) for name in _EVALUATIONS}
    return Inputs(
        teacher=_model(lineage.get("teacher")),
        init=_model(lineage.get("init")),
        corpus=_pick(CorpusInput, "corpus/manifest.json", _json(lines, "corpus", "manifest.json")),
        training={name: found for name, found in trainings.items() if found is not None},
        evaluations={name: found for name, found in evaluations.items() if found is not None},
    )


def _json(lines: Mapping[str, EvidenceLine], name: str, file: str) -> dict[str, Any] | None:
    line = lines.get(name)
    return None if line is None else line.read_json(file)


def _model(content: dict[str, Any] | None) -> ModelInput | None:
    renamed = None if content is None else content | {"weights_sha256": content.get("sha256")}
    return _pick(ModelInput, "lineage/lineage.json", renamed)


def _evaluation(name: str, content: dict[str, Any] | None) -> EvaluationInput | None:
    where = f"{name}/summary.json"
    if content is None:
        return None
    sampler = _pick(SamplerInput, where, content.get("effective_sampler"))
    return _pick(EvaluationInput, where, content | {"sampler": sampler})


def _pick(kind: type[Kind], where: str, content: Mapping[str, Any] | None) -> Kind | None:
    """The members of `content` that `kind` has; a member that is missing or of another type is an error."""
    if content is None:
        return None
    try:
        return kind.model_validate({name: content[name] for name in kind.model_fields if name in content})
    except ValidationError as error:
        raise EvidenceError(
            f"evidence {where}: {first_fault(error)}", hint="it was made by another version: run the experiment again"
        ) from error
