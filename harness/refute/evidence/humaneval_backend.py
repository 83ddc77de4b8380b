"""The backend that a release states for HumanEval: what each experiment is told of it, and what this machine lacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from refute.evidence.experiment import Config, Located
from refute.spec.release import AtServer, Distillation, InLlamaCpp, Source

_ROLES = ("teacher", "init", "student")


def backend_of(release: Distillation, role: str, locate: Callable[[Source], Located]) -> Config | None:
    """Whom the experiment of `role` (teacher, init or student) asks; None where it loads its model itself."""
    backend = release.humaneval.backend
    if isinstance(backend, InLlamaCpp):
        source = release.gguf_files()[role]
        return {
            "kind": backend.kind,
            "version": _version(),
            "sha256": source.sha256,
            "path": locate(source),
            "slots": backend.slots,
        }
    if isinstance(backend, AtServer):
        shared = backend.model_dump(mode="json", exclude=set(_ROLES))
        return {**shared, "model": getattr(backend, role)}
    return None


def _version() -> str:
    """What can change a sample, and so is part of the evidence's key."""
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return "absent"


def lacking_for_backend(release: Distillation) -> Iterator[str]:
    """What the backend needs besides files, and this machine has not."""
    backend = release.humaneval.backend
    if isinstance(backend, InLlamaCpp) and _version() == "absent":
        yield "humaneval.backend: llama.cpp needs the extra xllamacpp: pip install 'refute[xllamacpp]'"
    if isinstance(backend, AtServer) and backend.key_variable is not None and backend.key_variable not in os.environ:
        yield f"humaneval.backend: no environment variable {backend.key_variable} holds the server's key"
