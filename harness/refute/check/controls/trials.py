"""Controls alone: what each falsifier of a spec says of them, without evidence of a release."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from refute.errors import LoadingError, NoRunError
from refute.falsifier.context import Evidence
from refute.falsifier.controls import Control
from refute.falsifier.registry import Falsifier, Registry
from refute.falsifier.runner import bench_bars, control_result, parameters_of
from refute.falsifier.trial import FaultKind, TrialResult, lay_out, try_controls
from refute.judge.run.folder import RunFolder
from refute.outcome import ControlResult
from refute.spec.criteria import FalsifierUse, Spec, uses_of

# Once here, and not in the child of every control.
WANTED_BY_MOST = ("scipy.special", "safetensors.numpy")


class NoRun(Mapping[str, Evidence]):
    """The evidence of no run: whoever asks for some is told so."""

    def __getitem__(self, name: str) -> Evidence:
        raise NoRunError(
            f"this control tampers with a copy of a run's own evidence ({name!r})", hint="name a run with --run"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class State(StrEnum):
    """Whether a control gave the outcome that it must."""

    BEHAVED = "behaved"
    MISBEHAVED = "misbehaved"
    NEEDS_RUN = "needs a run"


@dataclass(frozen=True, slots=True)
class ControlTrial:
    """One control under one use of its falsifier; without a `result` it needs evidence of a run, and there is none.

    `untestable`: it could not be laid out, for a bar of this use has no side for it.
    """

    use: str
    falsifier: str
    control: str
    result: ControlResult | None
    untestable: bool = False

    @property
    def state(self) -> State:
        """Whether it behaved, if it was tried."""
        if self.result is None:
            return State.NEEDS_RUN
        return State.BEHAVED if self.result.behaved else State.MISBEHAVED

    def as_json(self) -> dict[str, str]:
        """For programs."""
        found = {"use": self.use, "falsifier": self.falsifier, "control": self.control, "state": self.state}
        if self.result is None:
            return found
        told = {"expected": self.result.expected, "observed": self.result.observed, "reason": self.result.reason}
        return found | {name: str(value) for name, value in told.items()}


def try_uses(specs: Sequence[Spec], registry: Registry, evidence: Mapping[str, Evidence]) -> Iterator[ControlTrial]:
    """Every control of every use, in the order of the specs. Raises LoadingError for a falsifier that is nowhere."""
    for use in uses_of(specs):
        yield from try_use(falsifier_of(use, registry), use, evidence)


def falsifier_of(use: FalsifierUse, registry: Registry) -> Falsifier:
    """The falsifier that `use` names. Raises LoadingError when it is nowhere."""
    found = registry.get(use.uses or "")
    if found is None:
        raise LoadingError(f"{use.id} uses {use.uses!r}, and no falsifier is called so", hint="see `refute check`")
    return found


def try_use(
    falsifier: Falsifier, use: FalsifierUse, evidence: Mapping[str, Evidence], *, apart: bool = True
) -> list[ControlTrial]:
    """The controls of one use, under its bars, each in a child of its own or, not `apart`, in this very process."""
    for module in WANTED_BY_MOST:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="refute-controls-") as folder:
        log = Path(folder) / "log.txt"
        parameters = parameters_of(falsifier, use)
        results = try_controls(
            falsifier, parameters, evidence, bars=bench_bars(use), timeout_s=use.timeout_s, log=log, apart=apart
        )
    return [_trial(use, falsifier, control, results[control.name]) for control in falsifier.controls]


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A control of one use that was laid out once, whatever falsifier is shown it."""

    use: FalsifierUse
    control: Control
    show: Callable[[Falsifier], TrialResult]

    def trial(self, falsifier: Falsifier) -> ControlTrial:
        """What `falsifier` makes of it, in this very process."""
        return _trial(self.use, falsifier, self.control, self.show(falsifier))


def lay_out_all(
    falsifier: Falsifier, uses: Sequence[FalsifierUse], evidence: Mapping[str, Evidence], folder: Path
) -> list[LaidOut]:
    """The controls of each of `uses`, below `folder`; each is built when it is shown first."""
    found: list[LaidOut] = []
    for use in uses:
        parameters, bars = parameters_of(falsifier, use), bench_bars(use)
        for control in falsifier.controls:
            bench = folder / str(len(found))
            bench.mkdir()
            found.append(LaidOut(use, control, lay_out(control, parameters, evidence, bars, bench)))
    return found


def _trial(use: FalsifierUse, falsifier: Falsifier, control: Control, result: TrialResult) -> ControlTrial:
    return ControlTrial(
        use.id,
        falsifier.name,
        control.name,
        None if result.kind is FaultKind.NEEDS_RUN else control_result(use, control, result),
        untestable=result.kind is FaultKind.UNTESTABLE,
    )


def evidence_of(run: RunFolder) -> dict[str, Evidence]:
    """The evidence that a run noted, as controls may tamper with it. Raises what `RunFolder.read_evidence` raises."""
    return {
        name: Evidence(name, line.digest, Path(line.folder), line.files)
        for name, line in sorted(run.read_evidence().items())
    }
