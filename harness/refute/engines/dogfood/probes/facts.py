"""P4: what two commands say of one thing is equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from refute.engines.dogfood.called import Build, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, judged
from refute.engines.dogfood.strict_json import at, parsed

Place = tuple[str | int, ...]
_INSPECT: Final = ("model", "inspect", "model", "--json")
_PULL: Final = ("model", "pull", "model", "--json")
_IN_GGUF: Final = ("model", "inspect", "model.gguf", "--json")
_KEY: Final = ("--key", "keys/gate.pub")
_VERIFY: Final = ("verify", "verdict.json", *_KEY, "--json")
_LATEST: Final = ("latest", ".refute/runs", *_KEY, "--model", "evidence/answers.jsonl", "--json")
_STATUS: Final = ("status", *_KEY, "--json")
_LIST: Final = ("store", "list", "--json")
_IMPORT: Final = ("store", "import", "packed.tar", "--store", "made", "--json")
# A fact, and who says it where in what it prints.
_FACTS: Final[tuple[tuple[str, tuple[tuple[Words, Place], ...]], ...]] = (
    (
        "architecture",
        ((_INSPECT, ("architecture",)), (_PULL, ("model", "architecture")), (_IN_GGUF, ("architecture",))),
    ),
    ("parameters", ((_INSPECT, ("parameters",)), (_PULL, ("model", "parameters")), (_IN_GGUF, ("parameters",)))),
    ("digest of a model", ((_INSPECT, ("root_digest",)), (_PULL, ("model", "root_digest")))),
    ("ruling", ((_VERIFY, ("verdict",)), (_LATEST, ("verdict",)))),
    ("number of a verdict", ((_VERIFY, ("sequence",)), (_LATEST, ("sequence",)))),
    (
        "digest of a verdict",
        (
            *((_VERIFY, ("payload_sha256",)), (_LATEST, ("payload_sha256",))),
            (_STATUS, ("criteria", 0, "payload_sha256")),
        ),
    ),
    ("key of evidence", ((_LIST, ("evidence", 0, "key")), (_IMPORT, ("evidence", 0, "key")))),
)


def facts(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Every fact that at least two of `commands` state."""
    for fact, sources in _FACTS:
        if all(any(words[: len(each.words)] == each.words for each in commands) for words, _ in sources):
            build.call_all([words for words, _ in sources])
            said = {" ".join(words): _stated(build, words, place) for words, place in sources}
            agree = len(set(map(repr, said.values()))) == 1 and None not in said.values()
            told = "; ".join(f"{who}: {what!r}" for who, what in said.items())
            yield judged(fact, "" if agree else told, repr(next(iter(said.values()))))


def _stated(build: Build, words: Words, place: Place) -> Any:
    try:
        return at(parsed(build.call(*words).out), place)
    except (ValueError, LookupError, TypeError):
        return None
