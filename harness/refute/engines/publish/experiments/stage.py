"""Experiment: the judged student, its licence and its card, laid out as a hub's repository is to hold them."""

from __future__ import annotations

from refute.engines.publish.manifest import add_copy, add_text, write_manifest
from refute.job import Job
from refute.spec.experiments.evidence_files import MODEL, RELEASED, STUDENT
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.publication import StageConfig


def stage(job: Job) -> None:
    """Copy the files of the evidence `student` as they are, and write README.md beside them.

    Writes them below `release/`, and manifest.jsonl, a `StagedFile` a row.
    """
    config = parse_config(StageConfig, job)
    student, folder = job.inputs[STUDENT].path(MODEL.name), job.out / RELEASED.name
    sources = sorted(path for path in student.rglob("*") if path.is_file())
    total, done = sum(path.stat().st_size for path in sources), 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        job.progress("copy and hash", done, total)

    files = [add_copy(each, folder, each.relative_to(student).as_posix(), "student", told) for each in sources]
    files.append(add_text(f"---\nlicense: {config.publication.licence}\n---\n", folder, "README.md"))
    write_manifest(job.out, files)
