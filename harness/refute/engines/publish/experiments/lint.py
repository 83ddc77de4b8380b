"""Experiment: what the rules of `refute model lint` find in the staged folder, and in every GGUF file there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refute.engines.model.tools.lint.lint import lint_model
from refute.job import Job
from refute.spec.experiments.evidence.finished import LintFinding
from refute.spec.experiments.evidence_files import LINTED, RELEASED, STAGED
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.publication import LintStagedConfig

# Of a GGUF file's own card there is nothing to say: the folder's lies beside it.
_CARD = "card/"


def lint_staged(job: Job) -> None:
    """Write lint.jsonl, a `LintFinding` a row. Raises as `lint_model` does for a GGUF file that is none."""
    parse_config(LintStagedConfig, job)
    LINTED.write(job.out, list(_findings(job.inputs[STAGED].path(RELEASED.name))))


def _findings(folder: Path) -> Iterator[LintFinding]:
    for each in lint_model(folder):
        yield LintFinding(rule=each.rule, severity=each.severity, found=each.found)
    for file in sorted(folder.glob("*.gguf")):
        for each in lint_model(file):
            if not each.rule.startswith(_CARD):
                yield LintFinding(rule=each.rule, severity=each.severity, found=f"{file.name}: {each.found}")
