"""P8: the version that is shown is that of the installed distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version as installed

from refute.engines.dogfood.called import Build
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, judged


def version(build: Build, _commands: Sequence[Command]) -> Iterator[Seen]:
    """`--version` against the metadata. A version names no commit: the digest of the source is in each verdict."""
    shown, expected = build.call("--version"), f"refute {installed('refute')}\n"
    fault = "" if (shown.status, shown.out) == (0, expected) else f"it shows {shown.out!r}, expected {expected!r}"
    yield judged("refute --version", fault, expected.strip())
