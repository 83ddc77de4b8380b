"""Runs contracts: each property must fail on each of its mutants, and then hold on the engine as it is."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from refute.check.contracts.references import Executable
from refute.errors import Problem
from refute.spec.yaml.suggest import suggestion

# Examples a property. For the contracts of this repository `fast` takes half a minute of one core, `deep` two minutes
# (measured). With 25 examples some mutants lived.
PROFILES = {"fast": 50, "deep": 300}
DEFAULT_PROFILE = "fast"

# Hypothesis binds the profile of the moment to a property when it is decorated, and has no public way to run it under
# another one.
_SETTINGS = "_hypothesis_internal_use_settings"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one property: its problems, none if it holds and every mutant was killed."""

    property: str
    mutants: int
    seconds: float
    problems: tuple[Problem, ...]

    def line(self) -> str:
        """For people."""
        state = "FAILED" if self.problems else f"holds, {self.mutants} of {self.mutants} mutants killed"
        return f"{self.property}: {state} ({self.seconds:.1f} s)"


def register_profiles() -> None:
    """Make the profiles `fast` and `deep` known to Hypothesis. Failures of both print how to reproduce them.

    `fast` tries the same examples in every run, `deep` others each time. There is no deadline an example: it would
    say how busy a machine is.
    """
    from hypothesis import settings

    for name, examples in PROFILES.items():
        settings.register_profile(
            name, max_examples=examples, derandomize=name == "fast", deadline=None, print_blob=True
        )


def run_properties(executables: Sequence[Executable]) -> Iterator[Attempt]:
    """Run each property, first on its mutants, and last on the engine, under the profile it was imported under.

    In this order a mutation that was left behind is seen: the property would fail on the engine.
    """
    for executable in executables:
        started = time.monotonic()
        survivors = [
            problem
            for number, reference in enumerate(executable.attack.mutants)
            if (problem := _kill(executable, number, reference)) is not None
        ]
        problems = (*survivors, *_hold(executable))
        yield Attempt(executable.attack.id, len(executable.mutants), time.monotonic() - started, problems)


def unknown_profile(name: str) -> str:
    """A sentence when there is no profile of that name, else nothing."""
    return "" if name in PROFILES else f"no Hypothesis profile is called {name!r}{suggestion(name, PROFILES)}"


def _kill(executable: Executable, number: int, reference: str) -> Problem | None:
    """None when the property fails, by an assertion, on the mutant."""
    try:
        with executable.mutants[reference](), _killing(executable.function):
            failure = _failure(executable)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # a user's mutant may raise anything, on its way in and out
        return executable.problem(number, "mutant", f"{reference} cannot be applied and undone: {_shown(error)}")
    if failure is None:
        message = f"{executable.attack.property} passes on {reference}: it cannot fail where it must"
        return executable.problem(number, "survivor", message)
    if not isinstance(failure, _assertions()):
        message = f"on {reference}, {executable.attack.property} ends in {_shown(failure)}, expected a failed assertion"
        return executable.problem(number, "crash", message)
    return None


def _hold(executable: Executable) -> list[Problem]:
    """Nothing when the property holds on the engine."""
    failure = _failure(executable)
    if failure is None:
        return []
    code = "falsified" if isinstance(failure, _assertions()) else "does-not-run"
    trace = "".join(traceback.format_exception(failure)).rstrip()
    return [executable.problem("property", code, f"{executable.attack.property}: {_shown(failure)}\n{trace}")]


def _failure(executable: Executable) -> BaseException | None:
    try:
        executable.attempt()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # pytest's outcomes are no Exception
        return error
    return None


@contextmanager
def _killing(call: Callable[..., None]) -> Iterator[None]:
    """While a mutant is on, the property's first failure is enough, and is nobody's to shrink or reproduce."""
    from hypothesis import HealthCheck, Phase, settings

    own = getattr(call, _SETTINGS)
    hasty = settings(
        parent=own,
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much),
    )
    setattr(call, _SETTINGS, hasty)
    try:
        yield
    finally:
        setattr(call, _SETTINGS, own)


def _assertions() -> tuple[type[BaseException], ...]:
    import pytest

    return AssertionError, pytest.fail.Exception


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
