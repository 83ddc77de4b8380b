"""SILENT: a model that is half there, nobody's, mute or without metadata is refused; nothing stands in for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from refute.engines.dogfood.called import Build, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.faulty_models import FILES, FOLDERS
from refute.engines.dogfood.seen import Seen, refused

_PROMPT: Final = 'def abc(n):\n    """Double it."""\n'
_ASKED: Final[tuple[tuple[str, Words], ...]] = (
    ("model lint", ()),
    ("model run", (_PROMPT, "--max-new-tokens", "4", "--threads", "1")),
    ("model qa", ("--threads", "1")),
)
# The sound model that a faulty one was made of, and the format beside it that `model qa` compares.
_FOLDER, _FILE = "model", "model.gguf"


def fallback(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Every fault, in both formats, by every command that opens a model or judges one."""
    names = {each.name for each in commands}
    for sound, other, models in ((_FOLDER, _FILE, FOLDERS), (_FILE, _FOLDER, FILES)):
        for name, more in _ASKED:
            if name in names:
                beside = ("--beside", other) if name == "model qa" else ()
                calls = [(*name.split(), model, *more, *beside) for model in (sound, *models)]
                healthy, *faulty = build.call_all(calls)
                yield from (refused(each, healthy, " ".join(each.words[:3])) for each in faulty)
