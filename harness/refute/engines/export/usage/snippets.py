"""The blocks of code on a card, tried as a reader would: Python is run as it stands, a command must name a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from refute.engines.export.usage.environment import ask_stranger
from refute.spec.experiments.evidence.export import UsedSnippet

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What llama.cpp takes from a repository by the label of a file.
_BY_LABEL = re.compile(r"llama-cli -hf (?P<repo>[\w./-]+):(?P<label>\w+)\n")


def label_of(file: Path) -> str:
    """The label by which a hub and llama.cpp know a GGUF file."""
    return file.stem.rpartition(".")[2]


def try_snippets(folder: Path, repo: str, readers: Mapping[str, Path], scratch: Path) -> tuple[UsedSnippet, ...]:
    """Every block of README.md in the release `folder`, Python by each of `readers` (an interpreter by its name).

    There `repo` is a folder, so that nothing is fetched. Raises ExperimentError for a process that gives no answer.
    """
    home = scratch / "card"
    (home / repo).parent.mkdir(parents=True)
    (home / repo).symlink_to(folder.resolve())
    card = (folder / "README.md").read_text(encoding="utf-8")
    return tuple(
        tried
        for language, text in _FENCED.findall(card)
        for tried in (_run(text, home, readers, scratch) if language == "python" else [_resolved(text, folder, repo)])
    )


def _run(text: str, home: Path, readers: Mapping[str, Path], scratch: Path) -> Iterator[UsedSnippet]:
    for name, python in readers.items():
        request = {"engine": "card", "path": str(home), "snippet": text, "hosts": []}
        said = ask_stranger(python, request, scratch / "stranger")
        yield UsedSnippet(text=text, reader=name, said=said["text"], failed=said["failed"])


def _resolved(text: str, folder: Path, repo: str) -> UsedSnippet:
    found = _BY_LABEL.fullmatch(text)
    files = [] if found is None else [file.name for file in folder.glob("*.gguf") if label_of(file) == found["label"]]
    if found is None:
        failed: str | None = "nobody here can run it"
    elif found["repo"] != repo:
        failed = f"{found['repo']} is another repository than {repo}"
    else:
        failed = None if len(files) == 1 else f"{len(files)} files have the label {found['label']}"
    return UsedSnippet(text=text, reader="llama.cpp", said=", ".join(files), failed=failed)
