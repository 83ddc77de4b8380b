"""`refute eval humaneval`: let a model answer, then execute the answers."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from refute.attest import model_digest
from refute.cli.eval.backend import EvalRequest, open_backend, run_console
from refute.cli.eval.score import ProblemSet, score_file
from refute.disk import unwritable, write_whole
from refute.engines.humaneval.backends.interface import GenerationFacts
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.diversity import diversity
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import write_samples
from refute.engines.humaneval.samples.sampler import Sampler
from refute.engines.humaneval.scoring.execute import Limits
from refute.engines.humaneval.scoring.result_file import RESULTS
from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.evidence.experiment import LIBRARIES

SAMPLES, SUMMARY, GENERATION, LOG = "samples.jsonl", "summary.json", "generation.json", "work/samples.jsonl"


_RUN = "run.json"


def run_humaneval(request: EvalRequest, problems: ProblemSet, out: Path, limits: Limits) -> dict[str, object]:
    """Generate and score into `out`: samples.jsonl, results.jsonl, summary.json; returns the summary.

    An interrupted run goes on from its last sample; what a batch had not finished is generated again, so that the
    samples are those of an undisturbed run. Within the allowed share a sample without an answer or a verdict counts as
    failed. Raises UsageError where `out` holds another run, MissingInputsError for a model without weights or
    tokenizer, NonFiniteError or ExperimentError where the model fails more often: an error, and no score.
    """
    identity = identity_of_run(request, problems)
    claim(out, identity)
    if not (out / GENERATION).exists():
        _generate(request, problems, out, identity)
    generation = read_json(out / GENERATION)
    require_sampled(request.sampler, generation)
    unanswered = [(each["task_id"], each["sample"]) for each in generation["errors"]]
    figures = score_file(
        out / SAMPLES,
        out / RESULTS,
        problems=problems,
        limits=limits,
        partial=bool(unanswered),
        unanswered=unanswered,
    )
    _require_few_errors(request, figures, generation)
    summary = {
        **figures,
        "allowed_errors": request.allowed_errors,
        "generation": {**identity, **generation},
    }
    write_json(out / SUMMARY, summary)
    return summary


def _generate(request: EvalRequest, problems: ProblemSet, out: Path, identity: Mapping[str, object]) -> None:
    failures = Failures(len(problems.problems) * request.sampler.n, request.allowed_errors)
    with run_console(out) as at, open_backend(request, problems, out / LOG, identity, at, failures) as backend:
        completions = backend.generate(problems.problems)
        made = backend.facts()
        write_samples(out / SAMPLES, completions)
        write_json(out / GENERATION, evidence(made, completions, failures.reasons))
        at.check_stop()


def claim(out: Path, identity: Mapping[str, object]) -> None:
    """Make `out` the folder of the run with this identity. Raises UsageError where it is another run's.

    A run that could not begin, for want of a tokenizer or a server, holds nothing: another one takes its folder.
    """
    path = out / _RUN
    # A kill may have left the beginning of run.json itself.
    made = any(not each.is_dir() and each.name not in {_RUN, f"{_RUN}.new"} for each in out.rglob("*"))
    if made and not path.exists():
        raise UsageError(f"{out} is not empty, and holds no run of `refute eval humaneval`", hint="name another --out")
    if made:
        known = json.loads(path.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(identity))
        changed = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
        if changed:
            shown = "; ".join(f"{key} was {known.get(key)!r}, is {wanted.get(key)!r}" for key in changed)
            raise UsageError(f"{out} holds another run: {shown}", hint="name another --out")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    write_json(path, identity)


def evidence(
    made: GenerationFacts, completions: Sequence[Completion], unanswered: Mapping[Key, str]
) -> dict[str, object]:
    """How samples were made, for people to read and `require_sampled` to judge."""
    return {
        **asdict(made.prompt_format),
        "effective_sampler": dict(made.sampler),
        "sampler_reported_by": made.sampler_reported_by,
        "samples_depend_on": made.depends_on,
        "generated_tokens": sum(completion.new_tokens for completion in completions),
        "tokens_per_s": round(made.tokens_per_s, 1),
        "stops": dict(Counter(completion.stop for completion in completions)),
        "diversity": diversity([*completions, *made.probes]),
        "repeated": {"samples": made.repeated, "identical": made.identical, "must_be_identical": made.must_repeat},
        "retries": made.retries,
        "errors": [
            {"task_id": task, "sample": sample, "reason": why} for (task, sample), why in sorted(unanswered.items())
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


def _require_few_errors(request: EvalRequest, figures: Mapping[str, Any], generation: Mapping[str, Any]) -> None:
    """Of all samples, whether they got no answer or no verdict."""
    total = figures["problems_in_file"] * request.sampler.n
    lost = {
        (each["task_id"], each["sample"]): f"{each['task_id']}, sample {each['sample']}: {each['reason']}"
        for each in (*generation["errors"], *figures["errors"])
    }
    Failures(total, request.allowed_errors, lost).require_few(
        total, hint="run the same command again: what got no verdict is executed again; or state --allowed-errors"
    )


def identity_of_run(request: EvalRequest, problems: ProblemSet) -> dict[str, object]:
    """What samples are samples of: a change of any of these makes them another run's. Raises as `run_humaneval`."""
    if request.backend == "llama.cpp" and request.device != "cpu":
        raise UsageError(
            f"llama.cpp computes on the CPU here, not on {request.device}",
            hint="start llama.cpp's own server on the GPU, and ask it with --backend openai --base-url",
        )
    if request.server is None and not request.model.exists():
        raise MissingInputsError(f"no model at {request.model}", hint="name a model folder, or a GGUF file")
    return {
        # What a server serves cannot be hashed from here: there is its word only.
        "model_sha256": model_digest(request.model) if request.server is None else None,
        "served_model": None if request.server is None else request.server.model,
        "problems_sha256": problems.sha256,
        "problems": len(problems.tasks),
        "protocol": request.protocol,
        "sampler": asdict(request.sampler),
        "max_new_tokens": request.max_new_tokens,
        "batch_size": request.batch_size,
        "backend": request.backend,
        "device": request.device,
        "threads": request.threads,
        "versions": versions("xllamacpp" if request.backend == "llama.cpp" else None),
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


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` with sorted keys, at once or not at all. Raises ExperimentError."""
    write_whole(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii"))
