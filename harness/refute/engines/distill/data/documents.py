"""Finds the text files of a corpus and puts them into a seeded order that no library version changes."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from refute.engines.distill.data.reading.sources import is_content
from refute.errors import MissingInputsError
from refute.spec.release import FileCorpus, StdlibCorpus

# Third-party code, tests (they quote problems and inputs), and two folders of generated tables: character
# maps and the text of the language reference. None of them is code that someone wrote for a purpose.
STDLIB_EXCLUDED = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idlelib", "encodings", "pydoc_data"}
)


def find_documents(corpus: StdlibCorpus | FileCorpus, folder: Path | None) -> tuple[Path, list[str]]:
    """The corpus root and its files' POSIX paths below it, in the order in which they are used. What came along with a
    folder that was cloned or downloaded, such as .git and README, is none of them.

    Raises MissingInputsError when the folder is absent or holds no matching file.
    """
    root, pattern, excluded = _place(corpus, folder)
    if not root.is_dir():
        raise MissingInputsError(f"corpus: {root} is not a folder", hint="check `corpus.path` in the release")
    found = [path.relative_to(root) for path in root.glob(pattern) if path.is_file()]
    paths = sorted(path.as_posix() for path in found if is_content(path) and not excluded.intersection(path.parts))
    if not paths:
        raise MissingInputsError(
            f"corpus: {root} is empty, no file matches {pattern!r}",
            hint="check `corpus.path` and `corpus.pattern`",
        )
    return root, seeded_order(paths, corpus.seed)


def seeded_order(names: Iterable[str], seed: int) -> list[str]:
    """`names` sorted by SHA-256 of seed and name: a shuffle that is the same on every machine and version."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())


def _place(corpus: StdlibCorpus | FileCorpus, folder: Path | None) -> tuple[Path, str, frozenset[str]]:
    if isinstance(corpus, StdlibCorpus):
        return Path(sysconfig.get_path("stdlib")), "**/*.py", STDLIB_EXCLUDED
    if folder is None:
        raise MissingInputsError("corpus: a `files` corpus needs its folder, found none")
    return folder, corpus.pattern, frozenset()
