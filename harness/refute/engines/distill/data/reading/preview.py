"""What will be read as what, for people, before anything is tokenised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from refute.engines.distill.data.reading.file_format import FileFormat, file_format
from refute.engines.distill.data.reading.sources import Sources
from refute.engines.distill.data.reading.texts import Reading, read_documents

_SHOWN = 60


def preview(sources: Sources, reading: Reading) -> Iterator[str]:
    """One line a format: how many sources, how they are read, and how the first text in them begins.

    Raises as `read_documents` does for the first source of each format.
    """
    formats = sorted(((file_format(file), file) for file in sources.files), key=lambda found: found[0])
    for kind, found in groupby(formats, key=lambda each: each[0]):
        files = [file for _, file in found]
        yield f"{len(files)} read as {_manner(kind, reading)}, such as {_example(files[0], reading)}"
    if sources.passed_over:
        names = ", ".join(file.name for file in sources.passed_over[:3])
        yield f"{len(sources.passed_over)} passed over, which come along with a folder: {names}"


def _manner(kind: FileFormat, reading: Reading) -> str:
    if kind is FileFormat.TEXT:
        return "text, a document each" + (", or several between end-of-text marks" if reading.separator else "")
    if reading.chat is not None:
        return f"{kind.value}, conversations"
    return f"{kind.value}, the texts under {reading.field!r}"


def _example(source: Path, reading: Reading) -> str:
    text = next((each for each in read_documents(source, reading) if isinstance(each, str) and each.strip()), None)
    return f"{source.name}: " + ("no text" if text is None else repr(text[:_SHOWN]))
