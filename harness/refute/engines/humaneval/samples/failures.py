"""Samples that could not be had: each is kept with its reason, up to the share that was allowed, and none passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

from refute.engines.humaneval.samples.completion import Key
from refute.errors import ExperimentError

_HINT = "look at why they failed; a larger share is for the spec to state, or for --allowed-errors"


@dataclass(slots=True)
class Failures:
    """What went wrong with which of `total` samples, by task and sample; `share` of all may."""

    total: int
    share: float = 0.0
    reasons: dict[Key, str] = field(default_factory=dict)

    @property
    def allowed(self) -> int:
        """How many of all may go wrong."""
        return self._allowed_of(self.total)

    def require_few(self, put: int, *, hint: str = "") -> None:
        """Raise ExperimentError where more than the share is missing of the samples that were asked for in the end."""
        if len(self.reasons) > self._allowed_of(put):
            raise self._too_many(put, next(reversed(self.reasons.values())), hint)

    def add(self, key: Key, error: ExperimentError) -> None:
        """Remember `error`. Raises it where none is allowed; for one too many, an ExperimentError with both numbers."""
        self.reasons[key] = str(error)
        if not self.share:
            raise error
        if len(self.reasons) > self.allowed:
            raise self._too_many(self.total, str(error), error.hint) from error

    def _allowed_of(self, samples: int) -> int:
        # The share as it is written: 0.29 of 100 are 29, and in floats 28.
        return math.floor(Fraction(str(self.share)) * samples)

    def _too_many(self, of: int, last: str, hint: str = "") -> ExperimentError:
        return ExperimentError(
            f"{len(self.reasons)} of {of} samples have no verdict ({100 * len(self.reasons) / of:.3g} %), "
            f"{100 * self.share:g} % may have none; the last: {last}",
            hint=hint or _HINT,
        )
