"""Opens the store that a person names: a folder, or a URL of any file system that fsspec knows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from refute.errors import EvidenceError, MissingDependencyError, UsageError
from refute.evidence.store.local import Store
from refute.evidence.store.remote import Remote
from refute.evidence.store.shared import SharedStore
from refute.spec.folders import cache_folder

# By the scheme of a URL, the package of its file system and the extra that brings it.
_PACKAGES = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}

# The schemes under which our tests read and write stores.
_TESTED = ("file", "local", "memory", "s3", "s3a")


def is_url(named: str | Path) -> bool:
    """Whether a store is named by a URL. A path never is: `Path` folds the slashes."""
    return "://" in str(named)


def open_store(named: str | Path) -> Store:
    """The store in that folder or at that URL; a folder in the user's cache stands before a URL.

    Raises:
        UsageError: the URL is of no known kind, or carries a password.
        MissingDependencyError: its file system is not installed; names the extra.
        EvidenceError: it cannot be reached or written, or is no store.
    """
    if not is_url(named):
        return Store(Path(named))
    remote = connect(str(named))
    return SharedStore(remote, cache_of(remote.url))


def open_objects(named: str | Path) -> Callable[[str], Path]:
    """Where the object with a SHA-256 lies, or would lie, fetched where the store is at a URL. A folder is only read.

    Raises what `open_store` does; the function raises EvidenceError for an object that cannot be fetched.
    """
    if is_url(named):
        store = open_store(named)
        return store.fetched if isinstance(store, SharedStore) else store.object_path
    return lambda digest: Path(named) / "objects" / digest[:2] / digest


def untested(named: str | Path) -> str | None:
    """What to tell somebody whose store lies on a file system that no test of ours has seen; None for all others."""
    scheme = str(named).partition("://")[0]
    if not is_url(named) or scheme in _TESTED:
        return None
    return f"stores at {scheme}:// go the way of s3://, and were not tested: what arrives is hashed all the same"


def cache_of(url: str) -> Path:
    """The folder on this machine in which the store at `url` is kept."""
    return cache_folder() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16]


def connect(url: str) -> Remote:
    """The store at `url`, not looked at yet. Raises UsageError and MissingDependencyError as `open_store` does."""
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    if urlsplit(url).password:
        raise UsageError(
            f"the {scheme} URL of the store carries a password, which would be written into every run",
            hint="give credentials as that file system finds them: its environment variables or configuration",
        )
    try:
        # Listings of a moment ago would hide what others wrote.
        files, root = url_to_fs(url.rstrip("/"), use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        if scheme in _PACKAGES:
            package, extra = _PACKAGES[scheme]
            raise MissingDependencyError(f"stores at {scheme}:// (through {package})", extra) from error
        raise EvidenceError(
            f"stores at {scheme}:// need another package: {error}", hint="install it beside refute"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"--store {url!r} is no URL of a known file system: {error}", hint="such as s3://bucket/folder, or a path"
        ) from error
    return Remote(url.rstrip("/"), files, root.rstrip("/"))
