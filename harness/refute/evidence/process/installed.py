"""Installed distributions: their content as one digest, and which of them loaded files came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

# What an installer adds to a wheel's own files: it differs between two installations of one wheel.
_BY_INSTALLER = ("/INSTALLER", "/REQUESTED", "/direct_url.json")


def content_of(name: str) -> str:
    """Version and content digest of the installed distribution `name`; "absent" where there is none."""
    try:
        return _content(distribution(name))
    except PackageNotFoundError:
        return "absent"


def owners(files: Iterable[str]) -> tuple[dict[str, str], frozenset[str]]:
    """The distributions that list one of `files`, as `content_of` has them, and those of `files` that are listed.

    Paths are absolute and normal. A file that none of them lists was installed by nobody, or by what keeps no RECORD.
    """
    wanted, found, listed = frozenset(files), dict[str, str](), set[str]()
    for each in distributions():
        root = os.path.normpath(str(each.locate_file(""))) + os.sep
        own = {root + path for path, _ in _lines(each)} & wanted
        if own:
            found[each.name] = _content(each)
            listed |= own
    return dict(sorted(found.items())), frozenset(listed)


def recorded_files(found: Distribution) -> dict[str, str]:
    """SHA-256 by path of the files of its wheel, as RECORD has them (base64, URL-safe, without padding)."""
    return {
        path: digest.removeprefix("sha256=")
        for path, digest in _lines(found)
        if digest.startswith("sha256=") and not path.startswith("..") and not path.endswith(_BY_INSTALLER)
    }


def _content(found: Distribution) -> str:
    lines = "".join(f"{path},{digest}\n" for path, digest in sorted(recorded_files(found).items()))
    return f"{found.version} {hashlib.sha256(lines.encode()).hexdigest() if lines else 'without RECORD'}"


def _lines(found: Distribution) -> Iterator[tuple[str, str]]:
    """Path and digest of each line. Paths that hold commas are quoted: of those there are none that Python imports."""
    for line in (found.read_text("RECORD") or "").splitlines():
        path, _, rest = line.partition(",")
        yield path, rest.partition(",")[0]
