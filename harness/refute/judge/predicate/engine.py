"""Which refute judged: its own sources as a digest, and whether they are those that its package was installed with."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from importlib.metadata import Distribution, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from refute.disk import file_sha256
from refute.evidence.manifest import manifest_digest
from refute.evidence.process.installed import recorded_files
from refute.isolation.command import installed_places
from refute.isolation.start import OWN, compiled_sources
from refute.spec.fields import Closed, Sha256

_SHOWN = 5


class Engine(Closed):
    """The refute that judged. `sha256` is over its Python files, by name and content, wherever they lie.

    `origin`: a wheel, whose RECORD its files were compared with, or sources, with which there is nothing to compare.
    `modified` are files that differ from that RECORD, are missing or are not in it, and modules that changed while it
    ran. `searched` are the names of the folders, behind the standard library, that it imported from.
    """

    version: str
    sha256: Sha256
    origin: Literal["wheel", "sources"]
    modified: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()

    @property
    def as_installed(self) -> bool:
        """Whether it is what its wheel brought, file by file."""
        return self.origin == "wheel" and not self.modified

    @property
    def sentence(self) -> str:
        """Who judged, in words."""
        who = f"{self.version}, SHA-256 {self.sha256}"
        if self.modified:
            more = ", …" if len(self.modified) > _SHOWN else ""
            named = ", ".join(self.modified[:_SHOWN]) + more
            return f"engine modified, {len(self.modified)} of its files ({named}): {who}"
        return f"engine {'as installed' if self.as_installed else 'from sources, nothing to compare with'}: {who}"


@cache
def identify_engine() -> Engine:
    """The refute of this process. Reads all of its files, once."""
    return engine_of(distribution("refute"), {name: _folder(name) for name in OWN}, compiled_sources())


def engine_of(installed: Distribution, packages: Mapping[str, Path], compiled: Mapping[str, str]) -> Engine:
    """The engine in the folders `packages`, held against the RECORD of `installed` and against what was `compiled`.

    `compiled` maps modules to the SHA-256 of the source that this process runs.
    """
    files = {
        f"{name}/{path.relative_to(folder).as_posix()}": file_sha256(path)
        for name, folder in packages.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    recorded = {path: text for path, text in recorded_files(installed).items() if path.partition("/")[0] in packages}
    if not any(path.endswith(".py") for path in recorded):  # an editable install brings the schemas alone
        recorded = {}
    unlike = [name for name in sorted({*files, *recorded}) if _record_form(files.get(name)) != recorded.get(name)]
    contents = set(files.values())
    own = {module: digest for module, digest in compiled.items() if module.partition(".")[0] in packages}
    places = installed_places()
    return Engine(
        version=installed.version,
        sha256=manifest_digest({name: digest for name, digest in files.items() if name.endswith(".py")}),
        origin="wheel" if recorded else "sources",
        modified=(
            *(unlike if recorded else ()),
            *sorted(module for module, digest in own.items() if digest not in contents),
        ),
        searched=tuple(Path(each).name for each in (*places.own, *places.libraries, *places.others)),
    )


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package}, a part of refute, is nowhere")
    return Path(spec.origin).parent


def _record_form(digest: str | None) -> str | None:
    """A SHA-256 in hex as RECORD writes it: base64, URL-safe, without padding."""
    return None if digest is None else base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode("ascii")
