"""The words of a verdict: outcomes, severities, run classes, measurements and records. Plain data, no imports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

# What pydantic demands where one of these crosses a file boundary: closed, strict, finite.
CLOSED = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

# Characters. A record is one short append, and a report shows every reason.
LONGEST_REASON = 4000


class Outcome(StrEnum):
    """What one attempt at refutation, or one criterion, came to. The order is from best to worst."""

    CORROBORATED = "corroborated"
    NOT_APPLICABLE = "not_applicable"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not_run"
    SKIPPED = "skipped"
    TIMEOUT = "timeout"
    ERROR = "error"
    FALSIFIED = "falsified"

    @property
    def rank(self) -> int:
        """Position in the order from best (0) to worst."""
        return list(Outcome).index(self)


def worst(outcomes: list[Outcome]) -> Outcome:
    """The worst of `outcomes`; nothing at all is `not_run`, because silence proves nothing."""
    return max(outcomes, key=lambda outcome: outcome.rank) if outcomes else Outcome.NOT_RUN


class Severity(StrEnum):
    """How much a criterion weighs: `block` stops a release, `warn` taints it, `info` is only shown."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"


class RunClass(StrEnum):
    """How serious a run is, from smallest to largest. A criterion may demand a minimum."""

    QUICK = "quick"
    EMBEDDED = "embedded"
    FULL = "full"

    def reaches(self, required: RunClass) -> bool:
        """Whether a run of this class may discharge a criterion that requires `required`."""
        order = list(RunClass)
        return order.index(self) >= order.index(required)


class Ruling(StrEnum):
    """The verdict's word."""

    GO = "GO"
    WARN = "WARN"
    NO_GO = "NO-GO"


# Between an interval's method and a note on it, in the one string that a signed record has for both.
_NOTE = "; "


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval in the unit of its measurement; `level` is a share such as 0.95."""

    low: float
    high: float
    level: float
    method: str
    __pydantic_config__ = CLOSED

    def noting_errors(self, *errors: int) -> Interval:
        """The same, whose method says how many observations without a verdict were taken at their worst, if any."""
        note = f"{_NOTE}{sum(errors)} without a verdict taken at their worst" if any(errors) else ""
        return replace(self, method=f"{self.method}{note}")

    @property
    def method_alone(self) -> str:
        """The method without what `noting_errors` added."""
        return self.method.split(_NOTE)[0]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A named number: value in `unit`, `n` observations behind it, an interval where it is an estimate.

    `evidence` holds SHA-256 digests; left empty, the runner fills in the files that the falsifier read.
    """

    name: str
    value: float
    unit: str
    n: int
    interval: Interval | None = None
    evidence: tuple[str, ...] = ()
    __pydantic_config__ = CLOSED


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What a falsifier said about an input whose outcome is known in advance."""

    name: str
    expected: Outcome
    observed: Outcome
    reason: str
    measurements: tuple[Measurement, ...] = ()
    __pydantic_config__ = CLOSED

    @property
    def behaved(self) -> bool:
        """Whether the falsifier gave the outcome that this control demands; none, where no bar asks for it."""
        return self.observed in (self.expected, Outcome.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Record:
    """One falsifier's run against one criterion: everything that the judge is allowed to know about it.

    `evidence` maps experiment names to the digest of their manifest, `code` is the digest of the
    file that defines the falsifier, and of its helpers. Nothing in a record depends on the clock.
    """

    spec: str
    criterion: str
    falsifier: str
    uses: str
    outcome: Outcome
    reason: str
    run_class: RunClass
    measurements: tuple[Measurement, ...] = ()
    controls: tuple[ControlResult, ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()
    code: str = ""
    __pydantic_config__ = CLOSED

    @property
    def key(self) -> tuple[str, str, str]:
        """Of which attack it is: the ids of spec, criterion and falsifier."""
        return self.spec, self.criterion, self.falsifier


def readable(reason: str) -> str:
    """A stranger's message as a record can hold it: short, and UTF-8 whatever bytes a file name put into it."""
    text = reason.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} …"


class Direction(StrEnum):
    """What a change does to a promise. `changed`: nobody knows which side demands more; `neutral`: neither does."""

    LOOSER = "looser"
    TIGHTER = "tighter"
    CHANGED = "changed"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Change:
    """One place where two promises differ. `spec` is the specification whose version speaks for it, if one does."""

    place: str
    old: str
    new: str
    direction: Direction
    spec: str = ""
    __pydantic_config__ = CLOSED

    def __str__(self) -> str:
        return f"{self.place}: {self.old} -> {self.new} ({self.direction})"
