"""Configurations of the fire drill's experiments."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.fields import Closed

Kind = Literal["drop", "delay", "repeat", "scale", "swap", "starve", "leak", "invent"]


class WorldConfig(Closed):
    """A small world: what is drawn, and how many problems there are."""

    seed: int
    problems: Annotated[int, Field(ge=1)]


class Fault(Closed):
    """What goes wrong, where and when.

    `target` is the function (`module:name`) whose hand-over is not what it was; `carries` says what is handed over
    there, and so how it is taken apart. Hand-overs `begins` up to `ends`, counted from 0, are faulty.
    """

    target: str
    carries: str
    kind: Kind
    begins: int
    ends: int


class FaultedConfig(Closed):
    """An experiment with a fault planted into it: its own `entry` and `config`, and what noise is drawn from."""

    fault: Fault
    entry: str
    config: str
    seed: int
