"""What an experiment's process is asked for: one line of JSON, which the laboratory writes and the worker reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """An experiment to run: its function, its configuration as JSON, and the folders of evidence that it builds on.

    It leaves its evidence in `out`, and in `scratch` what lets it go on after a kill. `secrets` are variables of its
    environment, recorded nowhere.
    """

    name: str
    entry: str
    config: str
    inputs: Mapping[str, str]
    out: str
    scratch: str
    secrets: Mapping[str, str] = field(repr=False)

    def to_line(self) -> bytes:
        """As `from_line` reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        """The request in a line of `to_line`."""
        return cls(**json.loads(line))
