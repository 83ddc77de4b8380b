"""Release files: read one, keep its text and digest, and the paths that it names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from refute.errors import UsageError
from refute.spec.release import FileCorpus, HfModel, Loaded, Release
from refute.spec.yaml.document import parse_yaml, read_text, validate
from refute.spec.yaml.kinds import require_kind


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """A release with the file it came from. `sha256` is of the file's bytes, which are `text` in UTF-8."""

    release: Release
    path: Path
    sha256: str
    text: str


def load_release(path: Path) -> LoadedRelease:
    """Read and validate one release file. Raises SpecError with every problem of the file."""
    text = read_text(path)
    release = parse_release(text, str(path))
    return LoadedRelease(release, path, hashlib.sha256(text.encode("utf-8")).hexdigest(), text)


def parse_release(text: str, name: str) -> Release:
    """A release from text, such as the one inside a signed verdict; `name` stands for the file in problems.

    Raises SpecError with every problem found.
    """
    document = parse_yaml(text, name)
    require_kind(document, "release")
    return validate(document, Release)


def resolve(loaded: LoadedRelease, relative: str) -> Path:
    """Where a path written in the release file lies: below the folder of that file, `~` expanded.

    An absolute path stays what it is. Nothing says that the file exists.
    """
    return loaded.path.parent / Path(relative).expanduser()


def refuse_outputs_inside(loaded: LoadedRelease, outputs: Path) -> None:
    """Raises UsageError when `outputs` lies in a folder that the release names as evidence, model or corpus.

    What is written there would change what is judged: its digest, and every signature over it.
    """
    named = {f"evidence.{name}": path for name, path in loaded.release.evidence.items()}
    distillation = loaded.release.distillation
    if distillation is not None:
        init = distillation.init.model if isinstance(distillation.init, Loaded) else None
        taught = {"teacher": distillation.teacher, "init": init}
        named |= {f"distillation.{name}": model.path for name, model in taught.items() if isinstance(model, HfModel)}
        if isinstance(distillation.corpus, FileCorpus):
            named["distillation.corpus"] = distillation.corpus.path
    if (student := loaded.release.student) is not None:
        models = student.models().items()
        named |= {f"student.{name}": model.path for name, model in models if isinstance(model, HfModel)}
        if isinstance(student.corpus, FileCorpus):
            named["student.corpus"] = student.corpus.path
    for name, path in sorted(named.items()):
        if outputs.resolve().is_relative_to(resolve(loaded, path).resolve()):
            raise UsageError(
                f"{outputs} lies in {name}, {path}: what a run writes would become part of what it judges",
                hint="give another folder with --refute-dir or --store",
            )
