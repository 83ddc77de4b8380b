"""The words of a pre-registration: what differs from the promise, and what that makes of a run. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from refute.outcome import CLOSED, Change


class LockState(StrEnum):
    """`none`: the run had no lock; `held`: what was locked is what was run; `broken`: it is not, or nobody vouches."""

    NONE = "none"
    HELD = "held"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Preregistration:
    """Whether a run kept what was promised before it. `faults` are sentences, `changes` go from lock to run.

    `lock_sha256` is the digest of the lock's payload, `key_id` of the key that signed it; both are empty where
    no trusted key did. `relaxed` is what this lock and those before it demanded less than their predecessors,
    `known_before` names evidence that had been measured already when it was made, `policy` is the SHA-256 of the
    policy file that was locked, if one was: the only one under which anything may be waived.
    """

    state: LockState = LockState.NONE
    lock_sha256: str = ""
    key_id: str = ""
    locked_at: str = ""
    sequence: int = 0
    relaxed: tuple[Change, ...] = ()
    known_before: tuple[str, ...] = ()
    policy: str = ""
    changes: tuple[Change, ...] = ()
    faults: tuple[str, ...] = ()
    __pydantic_config__ = CLOSED

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the run cannot be GO: everything that breaks the lock."""
        return (*self.faults, *(f"changed after the lock: {change}" for change in self.changes))


NOT_LOCKED = Preregistration()
