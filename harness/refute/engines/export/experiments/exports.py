"""Makes the GGUF files of a student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from refute.disk import file_sha256
from refute.engines.export.gguf.file import Source, export_gguf, read_source
from refute.errors import UsageError
from refute.job import Job
from refute.spec.experiments.evidence.export import ExportedFile, Exports
from refute.spec.experiments.evidence_files import EXPORTED, EXPORTS, GGUF_FILES, MODEL, STUDENT
from refute.spec.experiments.export import REFERENCE, ExportConfig
from refute.spec.experiments.parsing import parse_config
from refute.spec.publication import ExportLabel


def export(job: Job) -> None:
    """Write gguf/NAME.LABEL.gguf for F16 and each label, and exports.json: what they are, and which were refused.

    A label that most of the student's weights cannot follow is refused and recorded. Raises as `read_source` and
    `export_gguf` do for all else.
    """
    config = parse_config(ExportConfig, job)
    source = replace(read_source(job.inputs[STUDENT].path(MODEL.name)), name=config.name)
    folder = job.out / GGUF_FILES.name
    folder.mkdir()
    files, refused = [], {}
    for label in dict.fromkeys((REFERENCE, *config.labels)):
        try:
            files.append(_export(job, source, folder / f"{config.name}.{label.value}.gguf", label))
        except UsageError as error:
            refused[label.value] = str(error)
    made = Exports(files=tuple(files), refused=refused)
    EXPORTS.write(job.out, made)


def _export(job: Job, source: Source, target: Path, label: ExportLabel) -> ExportedFile:
    made = export_gguf(source, target, label, job.report)
    return ExportedFile(
        file=target.name,
        label=made.label,
        architecture=made.architecture,
        size=made.size,
        sha256=file_sha256(target),
        parameters=made.parameters,
        tensors=dict(made.tensors),
        fallback=made.fallback,
    )


def exported(job: Job) -> tuple[Path, Exports]:
    """The folder of the GGUF files that a job builds on, and what they are."""
    evidence = job.inputs[EXPORTED]
    return evidence.path(GGUF_FILES.name), EXPORTS.read(evidence.folder, EXPORTED)


def reference(job: Job) -> tuple[Path, ExportedFile]:
    """The file of full precision, and what it is."""
    folder, found = exported(job)
    file = next(each for each in found.files if each.label == REFERENCE)
    return folder / file.file, file
