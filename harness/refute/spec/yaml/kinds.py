"""A file of another kind than is meant, such as a release where a spec is expected, is named as such."""

from __future__ import annotations

from pathlib import Path

from refute.errors import SpecError
from refute.spec.yaml.document import Document, load_yaml

# What begins a file of each kind, and where such a file is named.
_HINTS = {
    "spec": "specs lie in specs/, or are named as arguments of `refute check` and pytest",
    "release": "releases lie in specs/releases/, or are named with --release",
}


def require_kind(document: Document, wanted: str) -> None:
    """Raises SpecError where `document` begins as a file of the other kind, and not as one of `wanted`."""
    found = next((kind for kind in _HINTS if kind != wanted and kind in document.data), None)
    if found is not None and wanted not in document.data:
        message = f"this is a {found}, where a {wanted} is expected"
        raise SpecError([document.problem((found,), message)], hint=_HINTS[found])


def require_asking(path: Path) -> None:
    """Raises SpecError for a file that is neither a spec nor a release; a folder is left to whoever reads it."""
    document = load_yaml(path) if path.is_file() else None
    if document is not None and not _HINTS.keys() & document.data.keys():
        message = f"this begins with none of the keys {', '.join(_HINTS)}"
        raise SpecError([document.problem((), message)], hint="name specs and releases, or folders of them")
