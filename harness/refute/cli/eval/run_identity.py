"""What the files of a run are about: a change of any of these makes them another run's."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from refute.attest import model_digest
from refute.cli.eval.backend import EvalRequest
from refute.cli.eval.problem_set import ProblemSet
from refute.engines.humaneval.scoring.execute import Limits
from refute.errors import UnreadableInputError, UsageError, VerificationError
from refute.evidence.experiment import LIBRARIES
from refute.spec.bars.sequential import Design

# How a model was asked, as generation.json says it: results of two different ways are not compared.
ASKED = ("protocol", "system_prompt")


def results_identity(problems: ProblemSet, limits: Limits, **samples: object) -> dict[str, object]:
    """What results are results of, `samples` among it: a change of any of these makes them another run's."""
    return {
        **samples,
        "problems_sha256": problems.sha256,
        "timeout_s": limits.timeout_s,
        "memory_mib": limits.memory_mib,
        "isolation": limits.isolation.value,
        "python": platform.python_version(),
        "refute": version("refute"),
    }


def samples_identity(request: EvalRequest, problems: ProblemSet, design: Design | None) -> dict[str, object]:
    """What samples are samples of: a change of any of these makes them another run's. Raises as `run_humaneval`."""
    if request.backend == "llama.cpp" and request.device != "cpu":
        raise UsageError(
            f"llama.cpp computes on the CPU here, not on {request.device}",
            hint="start llama.cpp's own server on the GPU, and ask it with --backend openai --base-url",
        )
    if request.server is None and not request.model.exists():
        raise UnreadableInputError(f"no model at {request.model}", hint="name a model folder, or a GGUF file")
    return {
        # What a server serves cannot be hashed from here: there is its word only.
        "model_sha256": _digest(request.model) if request.server is None else None,
        "served_model": None if request.server is None else request.server.model,
        "problems_sha256": problems.sha256,
        "problems": len(problems.tasks),
        "protocol": request.protocol,
        "system_prompt": request.system_prompt,
        "sampler": asdict(request.sampler),
        "max_new_tokens": request.max_new_tokens,
        "batch_size": request.batch_size,
        "backend": request.backend,
        "device": request.device,
        "threads": request.threads,
        "versions": _versions("xllamacpp" if request.backend == "llama.cpp" else None),
        **({} if design is None else {"sequential": design.rule()}),
    }


def _digest(model: Path) -> str:
    try:
        return model_digest(model)
    except VerificationError as error:  # an empty folder, or one with links, of which a verdict could say nothing
        raise UnreadableInputError(str(error), hint=error.hint or "name a model folder, or a GGUF file") from error


def _versions(extra: str | None = None) -> dict[str, str]:
    """The versions of everything that may change a sample, and of the package `extra`."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("refute", *LIBRARIES, *([extra] if extra else [])):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
