"""What a release fetches while it is gated: a gate has no network unless one of these needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from refute.errors import UsageError
from refute.evidence.fetch import local_path
from refute.spec.folders import COMPLETE, older_transformers_folder
from refute.spec.publication import HubModel
from refute.spec.release import AtServer, Examined, GgufModel, Loaded, ModelSource, Release, Source


def needs_network(release: Release, base: Path) -> tuple[str, ...]:
    """Which parts of `release` need a network here and now, by their place in its file; touches nothing."""
    return tuple(_needs(release, base))


def _needs(release: Release, base: Path) -> Iterator[str]:
    if (student := release.student) is not None:
        if isinstance(student.model, HubModel):
            yield "student.model"
        yield from _absent("student", student, student.models(), {}, base)
    if (distillation := release.distillation) is not None:
        if isinstance(distillation.humaneval.backend, AtServer):
            yield "distillation.humaneval.backend"
        init = {"init": distillation.init.model} if isinstance(distillation.init, Loaded) else {}
        models = {"teacher": distillation.teacher, **init}
        yield from _absent("distillation", distillation, models, distillation.gguf_files(), base)
    # Two generations of transformers read what is published; the older one's environment is made on first use.
    if release.publication is not None and not _is_made():
        yield "publication"


def _absent(
    part: str, examined: Examined, models: Mapping[str, ModelSource], files: Mapping[str, Source], base: Path
) -> Iterator[str]:
    """Of what comes out of packages, what is not in the cache yet."""
    own = {name: model.source for name, model in models.items() if isinstance(model, GgufModel)}
    sources = {"humaneval.problems": examined.humaneval.problems, **files, **own}
    yield from (f"{part}.{name}" for name, source in sources.items() if not local_path(source, base).is_file())


def _is_made() -> bool:
    try:
        return (older_transformers_folder() / COMPLETE).is_file()
    except UsageError:  # no home folder, and so no cache
        return False
