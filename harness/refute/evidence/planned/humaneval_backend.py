"""The backend that a release states for HumanEval: what each experiment is told of it, and what this machine lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from refute.evidence.experiment import Locate
from refute.evidence.sources import located_file
from refute.spec.experiments.humaneval import LlamaCppFile, ServedModel
from refute.spec.release import AtServer, Distillation, Examined, InLlamaCpp


def backend_of(
    release: Distillation, role: Literal["teacher", "init", "student"], base: Path, at: Locate
) -> LlamaCppFile | ServedModel | None:
    """Whom the experiment of `role` asks; None where it loads its model itself."""
    backend = release.humaneval.backend
    if isinstance(backend, InLlamaCpp):
        source = release.gguf_files().get(role)
        return LlamaCppFile(
            kind=backend.kind,
            version=_version(),
            sha256=None if source is None else source.sha256,
            path=None if source is None else at(located_file(source, base)),
            slots=backend.slots,
        )
    if isinstance(backend, AtServer):
        return ServedModel(
            kind=backend.kind,
            base_url=backend.base_url,
            model={"teacher": backend.teacher, "init": backend.init, "student": backend.student}[role],
            concurrency=backend.concurrency,
            attempts=backend.attempts,
            timeout_s=backend.timeout_s,
            key_variable=backend.key_variable,
        )
    return None


def exported_file() -> LlamaCppFile:
    """One of the files that are exported from the student, alone with each problem: it is known when it is there."""
    return LlamaCppFile(kind="llama.cpp", version=_version(), path=None, sha256=None, slots=1)


def answers_from_export(release: Examined) -> bool:
    """Whether the student's answers come from the GGUF file that is exported from it."""
    backend = release.humaneval.backend
    return isinstance(backend, InLlamaCpp) and backend.student is None


def _version() -> str:
    """What can change a sample, and so is part of the evidence's key."""
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return "absent"


def key_variables(release: Examined) -> tuple[str, ...]:
    """Names of the environment variables that hold keys of the backend's servers."""
    backend = release.humaneval.backend
    return (backend.key_variable,) if isinstance(backend, AtServer) and backend.key_variable else ()


def lacking_for_backend(release: Distillation) -> Iterator[str]:
    """What the backend needs besides files, and this machine has not."""
    backend = release.humaneval.backend
    if isinstance(backend, InLlamaCpp) and _version() == "absent":
        yield "humaneval.backend: llama.cpp needs the extra xllamacpp: pip install 'refute[xllamacpp]'"
    if isinstance(backend, AtServer) and backend.key_variable is not None and backend.key_variable not in os.environ:
        yield f"humaneval.backend: no environment variable {backend.key_variable} holds the server's key"
