"""Every error that refute raises on purpose. Which exit status each ends a command in: cli/exit_statuses.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refute.outcome import Change


class RefuteError(Exception):
    """Base of all deliberate errors: `str(error)` says what was found and what was expected, `hint` what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RefuteError):
    """A command was called with arguments that cannot be honoured together."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a YAML file: where it is and what is wrong.

    `code` names its kind for programs, such as `spec/uncovered`, and stands at the front of the message, too. It is
    empty where nothing decides by it.
    """

    file: str
    line: int
    key: str
    message: str
    code: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class SpecError(RefuteError):
    """Raised with every problem of a file (or set of files) at once, never only the first."""

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)


class RegistrationError(RefuteError):
    """A falsifier's declaration is incomplete or contradicts itself."""


class LoadingError(RefuteError):
    """A falsifier pack or file failed to import, or two of them claim one name."""


class MutationError(RefuteError):
    """A mutant names a module, function or text that the engine does not have (any more)."""


class MissingInputsError(RefuteError):
    """Something that the release names is not on this machine."""


class RequiredVerdictError(MissingInputsError):
    """A verdict that the release requires is not there, or is not what it requires."""


class DigestMismatchError(MissingInputsError):
    """A file exists but its SHA-256 is not the one that the release names."""


class UnreadableInputError(MissingInputsError):
    """A file that a person named, not a release, cannot be read: a key, a passphrase, a model to compare with."""


class MissingDependencyError(MissingInputsError):
    """A part needs a package that is not installed; `extra` is what to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} need a package that is not installed", hint=f"pip install 'refute[{extra}]'")


class ServiceError(RefuteError):
    """A service that was named (a timestamp authority, a registry, a log) cannot be reached, or refuses."""


class UnwritableError(RefuteError):
    """Where a result was to be written is full, closed to us or broken."""


class GateError(RefuteError):
    """A gate came to no verdict: pytest or the judge broke off, or the run is not the one that was asked for."""


class EvidenceError(RefuteError):
    """The evidence store is unwritable, or an object differs from its recorded digest."""


class ArchiveError(EvidenceError):
    """A file that was named as an archive of evidence is none, or is not what it declares."""


class NoRunError(EvidenceError):
    """A control tampers with a copy of a run's own evidence, and controls are tried without a run."""


class UnbarredError(RefuteError):
    """A control would fail a bar that the use under test does not set: it does not apply there."""


class UntestableBarError(RefuteError):
    """Under this bar no measurement could hold, or none could fail: nothing can be shown about it."""


class ExperimentError(RefuteError):
    """An experiment ended without evidence; the message names it and quotes the end of its log."""


class ExperimentTimeoutError(ExperimentError):
    """An experiment was stopped at its time limit; what it had checkpointed is kept."""


class OtherConfigurationError(ExperimentError):
    """A folder that was named holds what another configuration made: a checkpoint, a teacher's prepared answers."""


class NonFiniteError(ExperimentError):
    """A loss, gradient or logit was NaN or infinite."""


class StoppedError(ExperimentError):
    """A signal asked a run to stop; it wrote a checkpoint first. `signal` is its number."""

    def __init__(self, message: str, signal: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.signal = signal


class PublishingError(RefuteError):
    """A release is not published: a hub did not do or answer what it was asked. The same call goes on from there."""


class PublicationRefusedError(PublishingError):
    """A release is not published, for what the hub holds under its names is something else: a person must look."""


class LooseningError(RefuteError):
    """A new lock would promise less than the lock before it; `changes` are the refused ones."""

    def __init__(self, message: str, changes: Sequence[Change], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.changes = tuple(changes)


class VerificationError(RefuteError):
    """An envelope or what it carries must not be trusted. `cause` says in one word for programs what did not hold."""

    def __init__(self, message: str, *, hint: str = "", cause: str = "") -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


class StaleVerdictError(VerificationError):
    """An authentic verdict that is out of date or about another subject."""
