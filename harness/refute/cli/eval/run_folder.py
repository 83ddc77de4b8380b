"""The folder of one `refute eval humaneval` run: its files' names, and what they are about."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from refute.attest import model_digest
from refute.cli.eval.backend import EvalRequest
from refute.cli.eval.problem_set import ProblemSet
from refute.disk import FRESH, write_whole, writing
from refute.engines.humaneval.scoring.execute import Limits
from refute.errors import UnreadableInputError, UsageError, VerificationError
from refute.evidence.key import LIBRARIES
from refute.spec.bars.sequential import Design

SAMPLES, SUMMARY, GENERATION, LOG = "samples.jsonl", "summary.json", "generation.json", "work/samples.jsonl"
_RUN = "run.json"


def claim(out: Path, identity: Mapping[str, object]) -> None:
    """Make `out` the folder of the run with this identity. Raises UsageError where it is another run's.

    A run that could not begin, for want of a tokenizer or a server, holds nothing: another one takes its folder.
    """
    path = out / _RUN
    # A kill may have left the beginning of run.json itself.
    made = any(not each.is_dir() and not _is_run_file(each.name) for each in out.rglob("*"))
    if made and not path.exists():
        raise UsageError(f"{out} is not empty, and holds no run of `refute eval humaneval`", hint="name another --out")
    if made:
        known = read_json(path)
        wanted = json.loads(json.dumps(identity))
        changed = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
        if changed:
            shown = "; ".join(f"{key} was {known.get(key)!r}, is {wanted.get(key)!r}" for key in changed)
            raise UsageError(f"{out} holds another run: {shown}", hint="name another --out")
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(path, identity)


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote. Raises UnreadableInputError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        content = error
    if not isinstance(content, dict):
        raise UnreadableInputError(
            f"{path} is not what `refute eval humaneval` writes: expected a JSON object, found {content!r:.80}",
            hint="name another --out, or move the folder away",
        )
    return content


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` with sorted keys, at once or not at all. Raises as `disk.unwritable` says."""
    write_whole(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii"))


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


def _is_run_file(name: str) -> bool:
    return name == _RUN or (name.startswith(f"{_RUN}.") and name.endswith(FRESH))
