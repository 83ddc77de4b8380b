"""The form of an archive: an uncompressed tar file whose first member says what follows, with size and SHA-256 of each.

    contents.json              this, as JSON
    objects/ab/abcd…           files of evidence
    keys/<key>.json            manifests
    runs/<id>/…                run folders, with verdicts and reports

Equal contents give equal bytes: members are sorted, and nothing of this machine, its users or its clock is in it.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import IO, Annotated

from pydantic import AfterValidator, Field, ValidationError

from refute.errors import ArchiveError
from refute.evidence.manifest import FileName
from refute.spec.fields import Closed, Sha256, first_fault

CONTENTS = "contents.json"
# Bytes. Contents of a million files; nobody is made to read more before anything was checked.
MOST_CONTENTS = 256 * 2**20

_MEMBER = re.compile(r"objects/([0-9a-f]{2})/(?P<digest>\1[0-9a-f]{62})|keys/[0-9a-f]{64}\.json|runs/[^/]+/.+")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def _member(name: str) -> str:
    """Raises ValueError for a name that is no place of an archive, or by which a file would land elsewhere."""
    parts = PurePosixPath(name).parts
    if not _MEMBER.fullmatch(name) or "\\" in name or "/".join(parts) != name:
        raise ValueError(f"{name!r} is no object, manifest or file of a run")
    if parts[0] == "runs" and (not _RUN.fullmatch(parts[1]) or parts[1] == "latest"):
        raise ValueError(f"{parts[1]!r} is not the id of a run")
    return name


class Member(Closed):
    """One file of an archive."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Contents(Closed):
    """All files of an archive, by their names in it."""

    refute_archive: Annotated[int, Field(ge=1, le=1)]
    files: dict[Annotated[FileName, AfterValidator(_member)], Member]

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs in it."""
        return tuple(sorted({name.split("/")[1] for name in self.files if name.startswith("runs/")}))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the evidence in it."""
        return tuple(sorted(name[5:-5] for name in self.files if name.startswith("keys/")))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(member.size for member in self.files.values())


def object_member(digest: str) -> str:
    """The name of an object in an archive."""
    return f"objects/{digest[:2]}/{digest}"


def header(name: str, size: int) -> tarfile.TarInfo:
    """A member as every archive has it, whoever packs it where and when."""
    found = tarfile.TarInfo(name)
    found.size, found.mode = size, 0o644
    return found


def add_contents(archive: tarfile.TarFile, contents: Contents) -> None:
    """Begin `archive` with what will follow."""
    data = contents.model_dump_json(indent=1).encode()
    archive.addfile(header(CONTENTS, len(data)), io.BytesIO(data))


def read_contents(archive: tarfile.TarFile, where: str) -> Contents:
    """The contents with which `archive` begins. Raises ArchiveError for anything else."""
    first = archive.next()
    if first is None or first.name != CONTENTS or not first.isreg() or first.size > MOST_CONTENTS:
        raise ArchiveError(
            f"{where} is no archive of refute: it begins with {first.name if first else 'nothing'!r}, and not with "
            f"a file {CONTENTS} of at most {MOST_CONTENTS:,} bytes",
            hint="make it with `refute store export`",
        )
    stream = archive.extractfile(first)
    data = stream.read() if stream is not None else b""
    try:
        contents = Contents.model_validate_json(data)
    except ValidationError as error:
        raise ArchiveError(
            f"{CONTENTS} of {where} is refused: {first_fault(error)}", hint="make it with `refute store export`"
        ) from error
    for name, member in contents.files.items():
        if name.startswith("objects/") and not name.endswith(member.sha256):
            raise ArchiveError(f"{CONTENTS} of {where} names {name} with another SHA-256, {member.sha256}")
    return contents


def copy_hashed(source: IO[bytes], target: IO[bytes], report: Callable[[int], None]) -> Member:
    """Copy `source` to its end, and say what was copied; `report` is told the bytes of each piece."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(1 << 20):
        target.write(piece)
        digest.update(piece)
        size += len(piece)
        report(len(piece))
    return Member(sha256=digest.hexdigest(), size=size)
