"""P7: no NaN or infinity in any output, and none gets past where one was planted: in weights, logits and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from refute.engines.dogfood.called import Build, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.faulty_models import NOT_A_NUMBER
from refute.engines.dogfood.seen import Seen, base_calls, judged, refused

_NO_NUMBER: Final = re.compile(r"(?<![\w-])[-+]?(nan|inf|infinity)(?![\w-])", re.IGNORECASE)
_PROMPT: Final = 'def abc(n):\n    """Double it."""\n'
# What is asked about a model with a NaN in it: each has to end in another status than 0, and than of a sound model.
_ASKED: Final[tuple[tuple[str, Words], ...]] = (
    ("model lint", ()),
    ("model inspect", ("--quality",)),
    ("model qa", ("--beside", "model.gguf", "--threads", "1")),
    ("model run", (_PROMPT, "--max-new-tokens", "4", "--threads", "1")),
)
_LOGS: Final = ("eval", "compare", "nan-results.jsonl", "results.jsonl")
_SOUND_LOGS: Final = ("eval", "compare", "other-results.jsonl", "results.jsonl")


def numbers(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """All outputs about what is healthy are free of them; what is not healthy is refused."""
    for called in base_calls(build, commands):
        found = _NO_NUMBER.search(called.out + called.err)
        fault = f"{' '.join(called.words)} prints {found.group()!r}" if found else ""
        yield judged(f"output of {' '.join(called.words)}", fault, "finite numbers alone")
    names = {each.name for each in commands}
    for model in NOT_A_NUMBER:
        for name, more in _ASKED:
            if name in names:
                sound = build.call(*name.split(), "model", *more)
                yield refused(build.call(*name.split(), model, *more), sound, f"{name} on {model}")
    if "eval compare" in names:
        yield refused(build.call(*_LOGS), build.call(*_SOUND_LOGS), "eval compare on nan-results")
