"""Experiment: the judged student, its licence, card and bill of materials, as a hub's repository is to hold them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from refute.engines.publish.card.bom import BOM, bill_of_materials
from refute.engines.publish.card.card import render
from refute.engines.publish.card.claims import claims
from refute.engines.publish.card.licences import require_licence
from refute.engines.publish.manifest import add_copy, add_text, write_manifest
from refute.job import Job
from refute.spec.experiments.evidence.publication import StagedFile
from refute.spec.experiments.evidence_files import (
    CARD_CLAIMS,
    EXPORTED,
    GGUF_FILES,
    IDENTITIES,
    LINEAGE,
    MODEL,
    RELEASED,
    STUDENT,
)
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.publication import StageConfig
from refute.spec.publication import Publication


def stage(job: Job) -> None:
    """Copy the files of the evidence `student`, and the GGUF files made of it, as they are; write LICENSE, README.md
    and bom.cdx.json beside them.

    Writes them below `release/`; manifest.jsonl, a `StagedFile` a row; claims.jsonl, the numbers of the card. Raises
    UsageError for a licence that the hub does not know, ExperimentError for evidence that lacks a number.
    """
    config = parse_config(StageConfig, job)
    _require_licences(config.publication)
    folder, shown = job.out / RELEASED.name, claims(job.inputs)
    files = _copied(job, job.inputs[STUDENT].path(MODEL.name), job.inputs[EXPORTED].path(GGUF_FILES.name), folder)
    files.append(add_copy(Path(config.licence_path), folder, "LICENSE", "stage", lambda _: None))
    chats = (folder / "chat_template.jinja").is_file()
    files.append(add_text(render(config.publication, config.release, shown, chats=chats), folder, "README.md"))
    lineage = IDENTITIES.read(job.inputs[LINEAGE].folder, LINEAGE)
    bom = bill_of_materials(config.publication, files, lineage, shown)
    files.append(add_text(json.dumps(bom, indent=1) + "\n", folder, BOM))
    write_manifest(job.out, files)
    rows = "".join(json.dumps(claim.as_json(), sort_keys=True) + "\n" for claim in shown)
    (job.out / CARD_CLAIMS.name).write_text(rows, encoding="utf-8")


def _copied(job: Job, student: Path, exports: Path, folder: Path) -> list[StagedFile]:
    sources = sorted(path for path in student.rglob("*") if path.is_file())
    exported = sorted(exports.iterdir())
    told = _counter(job, sum(path.stat().st_size for path in (*sources, *exported)))
    files = [add_copy(each, folder, each.relative_to(student).as_posix(), "student", told) for each in sources]
    return files + [add_copy(each, folder, each.name, "export", told) for each in exported]


def _counter(job: Job, total: int) -> Callable[[int], None]:
    done = 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        job.progress("copy and hash", done, total)

    return told


def _require_licences(publication: Publication) -> None:
    require_licence(publication.licence, "licence")
    require_licence(publication.teacher.licence, "teacher.licence")
    if publication.init is not None:
        require_licence(publication.init.licence, "init.licence")
