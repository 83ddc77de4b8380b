"""A watcher of experiments that says nothing."""

from __future__ import annotations

from collections.abc import Mapping

from refute.errors import RefuteError
from refute.evidence.experiment import Experiment
from refute.job import Fact


class Silence:
    """Watches and says nothing."""

    def started(self, experiment: Experiment, step: int, total: int) -> None: ...
    def waiting(self, experiment: Experiment) -> None: ...
    def progressed(self, stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None: ...
    def finished(self, experiment: Experiment, seconds: float) -> None: ...
    def reused(self, experiment: Experiment) -> None: ...
    def failed(self, experiment: Experiment, error: RefuteError) -> None: ...
