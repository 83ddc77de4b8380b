"""What falsifier files share: `_scores.py` beside them, which they import as `_scores`. And the digest over both."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from refute.disk import read_regular


def helpers_of(file: Path) -> dict[str, Path]:
    """The files beside `file` that it imports by a name with one leading underscore, wherever in it; by that name.

    In a package the name is the last part of a dotted one.

    What else it imports, and names for which there is no file, are not among them. Raises SyntaxError, and what
    reading raises.
    """
    beside = {path.stem: path for path in sorted(file.parent.glob("_[!_]*.py"))}
    return {name: beside[name] for name in _imported(file) if name in beside} if beside else {}


def code_digest(file: Path) -> str:
    """What a record says of a falsifier's code: the SHA-256 of its file.

    Where it has helpers, directly or through others, that of what `sha256sum` prints of all of them, sorted by name.
    """
    digests, open_ends = dict[str, str](), [file]
    while open_ends:
        path = open_ends.pop()
        if path.name not in digests:
            digests[path.name] = hashlib.sha256(read_regular(path)).hexdigest()
            open_ends += helpers_of(path).values()
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return digests[file.name] if len(digests) == 1 else hashlib.sha256(lines.encode()).hexdigest()


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(read_regular(file), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name.rpartition(".")[2] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.rpartition(".")[2]
