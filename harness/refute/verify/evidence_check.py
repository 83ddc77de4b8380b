"""Read the evidence of a verdict again: its exhibits and inputs must be what the files say."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from refute.disk import file_sha256
from refute.errors import EvidenceError, VerificationError
from refute.evidence.manifest import manifest_digest
from refute.evidence.store.opening import open_objects
from refute.judge.exhibits.inputs import gather_inputs
from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.inputs import Inputs
from refute.judge.predicate.model import Predicate
from refute.judge.run.folder import EvidenceLine
from refute.spec.files import parse_release


def check_evidence(predicate: Predicate, store: str | Path) -> list[str]:
    """Hash every evidence file in `store` again, derive exhibits and inputs anew, and say what was done.

    `store` is a folder, or a URL.

    Raises VerificationError for a file that is missing or changed, and for an exhibit or input that the files do not
    give.
    """
    objects, paths = open_objects(store), dict[tuple[str, str], Path]()
    for name, files in sorted(predicate.evidence.items()):
        for file, digest in sorted(files.items()):
            path = objects(digest)
            found = file_sha256(path) if path.is_file() else "nothing"
            if found != digest:
                raise VerificationError(
                    f"evidence {name}/{file} should have SHA-256 {digest}, found {found} at {path}", cause="evidence"
                )
            paths[name, file] = path.resolve()
    checks = [f"{len(paths)} evidence files hashed again"]
    if parse_release(predicate.release.text, predicate.release.name).distillation is None:
        return checks  # there is nothing to derive, and `check_consistency` lets nothing be shown
    with tempfile.TemporaryDirectory() as folder:
        again = _derive(predicate, paths, Path(folder).resolve())
    for stated, derived, what in zip(
        (predicate.exhibits, predicate.inputs), again, ("exhibits", "inputs"), strict=True
    ):
        if stated != derived:
            raise VerificationError(
                f"the {what} in the verdict are not what its evidence gives",
                hint="it was not made by an honest `refute judge` of this version",
                cause=what,
            )
    return [*checks, "exhibits and inputs derived from them again"]


def _derive(predicate: Predicate, paths: Mapping[tuple[str, str], Path], folder: Path) -> tuple[Exhibits, Inputs]:
    """What the judge derived, from links in `folder` that have the files' own names."""
    try:
        lines = {
            name: EvidenceLine(name=name, digest=manifest_digest(files), folder=str(folder / name), files=files)
            for name, files in predicate.evidence.items()
        }
        for (name, file), target in paths.items():
            link = folder / name / file
            if folder not in link.resolve().parents:
                raise ValueError(f"{name}/{file} would lie outside its folder")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        return exhibits(lines, predicate.records), gather_inputs(lines)
    except (EvidenceError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationError(f"the evidence cannot be read again: {error}", cause="evidence") from error
