"""What a release fetches while it is gated: a gate has no network unless one of these needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refute.errors import UsageError
from refute.evidence.fetch import local_path
from refute.spec.folders import COMPLETE, older_transformers_folder
from refute.spec.release import AtServer, GgufModel, Loaded, Release, Source


def needs_network(release: Release, base: Path) -> tuple[str, ...]:
    """Which parts of `release` need a network here and now, by their place in its file; touches nothing."""
    return tuple(_needs(release, base))


def _needs(release: Release, base: Path) -> Iterator[str]:
    distillation = release.distillation
    if distillation is None:
        return
    if isinstance(distillation.humaneval.backend, AtServer):
        yield "distillation.humaneval.backend"
    sources = {"humaneval.problems": distillation.humaneval.problems, **distillation.gguf_files()}
    models = {"teacher": distillation.teacher}
    if isinstance(distillation.init, Loaded):
        models["init"] = distillation.init.model
    sources |= {role: model.source for role, model in models.items() if isinstance(model, GgufModel)}
    yield from (f"distillation.{name}" for name, source in sources.items() if _is_absent(source, base))
    # Two generations of transformers read what is published; the older one's environment is made on first use.
    if release.publication is not None and not _is_made():
        yield "publication"


def _is_made() -> bool:
    try:
        return (older_transformers_folder() / COMPLETE).is_file()
    except UsageError:  # no home folder, and so no cache
        return False


def _is_absent(source: Source, base: Path) -> bool:
    return not local_path(source, base).is_file()
