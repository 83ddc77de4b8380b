"""A job's configuration, read by the model of its experiment, and what to raise where that model refuses one."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from refute.errors import UsageError
from refute.job import Job
from refute.spec.fields import Closed, first_fault

Parsed = TypeVar("Parsed", bound=Closed)


def parse_config(kind: type[Parsed], job: Job) -> Parsed:
    """The job's configuration. Raises UsageError naming the experiment and the first key that is wrong."""
    try:
        return kind.model_validate_json(job.config)
    except ValidationError as error:
        raise refused_config(job.name, error) from error


def refused_config(experiment: str, error: ValidationError) -> UsageError:
    """What to raise where the configuration of `experiment` is none: names its model and the first key at fault."""
    return UsageError(
        f"experiment {experiment!r} got a configuration that {error.title} does not accept: {first_fault(error)}",
        hint="this is a fault of the plan that wrote it, or of a hand-written configuration",
    )
