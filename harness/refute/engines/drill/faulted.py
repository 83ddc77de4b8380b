"""Experiment: another experiment, with a fault planted between two parts of its engine. In a process to spare."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

from refute.engines.drill.change import Change
from refute.engines.drill.hand_overs import HAND_OVERS
from refute.job import Job
from refute.spec.experiments.drill import Fault, FaultedConfig
from refute.spec.experiments.parsing import parse_config


def run_faulted(job: Job) -> None:
    """Calls the experiment that the configuration names, as the laboratory would, with its fault in this process.

    Raises AttributeError where the target of the fault is not there, and whatever the experiment raises.
    """
    config = parse_config(FaultedConfig, job)
    plant(config.fault, config.seed)
    module, _, function = config.entry.partition(":")
    getattr(import_module(module), function)(replace(job, config=config.config))


def plant(fault: Fault, seed: int) -> None:
    """Puts the faulty function in the place of the real one, for the rest of this process."""
    module, _, path = fault.target.partition(":")
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        owner = getattr(owner, each)
    setattr(owner, name, HAND_OVERS[fault.carries](getattr(owner, name), Change(fault, seed)))
