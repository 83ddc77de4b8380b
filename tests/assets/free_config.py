"""Configurations of experiments in tests: any values, with places among them as a plan has them."""

from __future__ import annotations

from refute.evidence.experiment import Configure, FromEvidence, Locate, Located
from refute.spec.fields import Closed


class FreeConfig(Closed, extra="allow"):
    """Whatever it is given."""


def free(**values: object) -> Configure:
    """A configuration of `values`; a place in them, at any depth, is looked up."""
    return lambda at: FreeConfig.model_validate(_looked_up(values, at))


def _looked_up(value: object, at: Locate) -> object:
    if isinstance(value, dict):
        return {name: _looked_up(each, at) for name, each in value.items()}
    return at(value) if isinstance(value, Located | FromEvidence) else value
