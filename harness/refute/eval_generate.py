"""`refute eval humaneval`: let a model answer, then execute the answers."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from refute.attest import model_digest
from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.eval_backends import Made, Order, make_samples
from refute.eval_command import ProblemSet, score_file
from refute.experiments import LIBRARIES
from refute.humaneval.asking import diversity
from refute.humaneval.result_file import RESULTS
from refute.humaneval.sampler import Sampler
from refute.humaneval.samples import write_samples
from refute.humaneval.scoring import Limits

SAMPLES, SUMMARY = "samples.jsonl", "summary.json"
_RUN, _GENERATION, _LOG = "run.json", "generation.json", "work/samples.jsonl"


def run_humaneval(order: Order, problems: ProblemSet, out: Path, limits: Limits) -> dict[str, object]:
    """Generate and score into `out`: samples.jsonl, results.jsonl, summary.json; returns the summary.

    An interrupted run goes on from its last sample; what a batch had not finished is generated again, so that the
    samples are those of an undisturbed run. Raises UsageError where `out` holds another run, MissingInputsError for a
    model without weights or tokenizer, NonFiniteError or ExperimentError where the model fails: an error, and no score.
    """
    identity = _identity(order, problems)
    claim(out, identity)
    if not (out / _GENERATION).exists():
        made = make_samples(order, problems, out / _LOG, identity)
        write_samples(out / SAMPLES, made.completions)
        _write_json(out / _GENERATION, evidence(made))
    generation = json.loads((out / _GENERATION).read_text(encoding="utf-8"))
    require_sampled(order.sampler, generation)
    missing = bool(generation["errors"])
    figures = score_file(out / SAMPLES, out / RESULTS, problems=problems, limits=limits, partial=missing)
    _require_few_errors(order, figures, generation)
    summary = {
        **figures,
        "allowed_errors": order.allowed_errors,
        "generation": {**identity, **generation},
    }
    _write_json(out / SUMMARY, summary)
    return summary


def claim(out: Path, identity: Mapping[str, object]) -> None:
    """Make `out` the folder of the run with this identity. Raises UsageError where it is another run's."""
    path = out / _RUN
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(identity))
        changed = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
        if changed:
            shown = "; ".join(f"{key} was {known.get(key)!r}, is {wanted.get(key)!r}" for key in changed)
            raise UsageError(f"{out} holds another run: {shown}", hint="name another --out")
        return
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty, and holds no run of `refute eval humaneval`", hint="name another --out")
    out.mkdir(parents=True, exist_ok=True)
    _write_json(path, identity)


def evidence(made: Made) -> dict[str, object]:
    """How samples were made, for people to read and `require_sampled` to judge."""
    return {
        **made.manner,
        "effective_sampler": dict(made.sampler),
        "sampler_reported_by": made.sampler_reported_by,
        "samples_depend_on": made.depends_on,
        "generated_tokens": sum(completion.new_tokens for completion in made.completions),
        "tokens_per_s": round(made.tokens_per_s, 1),
        "stops": dict(Counter(completion.stop for completion in made.completions)),
        "diversity": diversity([*made.completions, *made.probes]),
        "repeated": {"samples": made.repeated, "identical": made.identical, "must_be_identical": made.must_repeat},
        "retries": made.retries,
        "errors": [
            {"task_id": task, "sample": sample, "reason": why} for (task, sample), why in sorted(made.failures.items())
        ],
    }


def require_sampled(sampler: Sampler, generation: Mapping[str, Any]) -> None:
    """Raise ExperimentError unless the samples are what the sampler should give.

    Where it draws, not every problem's samples may be one and the same; where it does not, and wherever the backend
    promises it, a sample must come out the same again.
    """
    different, repeated = generation["diversity"], generation["repeated"]
    several = different["problems_with_several_samples"]
    if sampler.method != "argmax" and different["problems_with_identical_samples"] == several:
        raise ExperimentError(
            f"at T = {sampler.temperature:g} the samples of each of {several} problems are all identical: "
            "nothing was drawn",
            hint="the server may ignore the temperature; for few problems with short answers ask for more samples",
        )
    if repeated["must_be_identical"] and repeated["identical"] < repeated["samples"]:
        raise ExperimentError(
            f"at T = {sampler.temperature:g} only {repeated['identical']} of {repeated['samples']} samples came out "
            f"the same when they were asked for again; a sample depends on {generation['samples_depend_on']}",
            hint="compute one sample at a time (--concurrency 1, --batch-size 1), or draw with a seed (-t 0.2)",
        )


def _require_few_errors(order: Order, figures: Mapping[str, Any], generation: Mapping[str, Any]) -> None:
    errors = [*generation["errors"], *figures["errors"]]
    if len(errors) > order.allowed_errors * figures["problems_in_file"] * order.sampler.n:
        first = errors[0]
        raise ExperimentError(
            f"{len(errors)} samples have no verdict, which is no zero; the first: {first['task_id']}, "
            f"sample {first['sample']}: {first['reason']}",
            hint="run the same command again: only they are executed again; or allow a share with --allowed-errors",
        )


def _identity(order: Order, problems: ProblemSet) -> dict[str, object]:
    if order.backend == "llama.cpp" and order.device != "cpu":
        raise UsageError(
            f"llama.cpp computes on the CPU here, not on {order.device}",
            hint="start llama.cpp's own server on the GPU, and ask it with --backend openai --base-url",
        )
    if order.server is None and not order.model.exists():
        raise MissingInputsError(f"no model at {order.model}", hint="name a model folder, or a GGUF file")
    return {
        # What a server serves cannot be hashed from here: there is its word only.
        "model_sha256": model_digest(order.model) if order.server is None else None,
        "served_model": None if order.server is None else order.server.model,
        "problems_sha256": problems.sha256,
        "problems": len(problems.tasks),
        "protocol": order.protocol,
        "sampler": asdict(order.sampler),
        "max_new_tokens": order.max_new_tokens,
        "batch_size": order.batch_size,
        "backend": order.backend,
        "device": order.device,
        "threads": order.threads,
        "versions": versions("xllamacpp" if order.backend == "llama.cpp" else None),
    }


def versions(extra: str | None = None) -> dict[str, str]:
    """The versions of everything that may change a sample, and of the package `extra`."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("refute", *LIBRARIES, *([extra] if extra else [])):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(path)
