"""`refute eval humaneval`: let a model complete the problems, then execute the completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refute.cli.eval.backend import EvalRequest, open_backend
from refute.cli.eval.generate_sequential import generate_until_decided
from refute.cli.eval.generation_report import generation_report, require_repeated, require_sampled
from refute.cli.eval.problem_set import ProblemSet
from refute.cli.eval.run_console import run_console
from refute.cli.eval.run_folder import (
    ASKED,
    GENERATION,
    LOG,
    SAMPLES,
    SUMMARY,
    claim,
    read_json,
    samples_identity,
    write_json,
)
from refute.cli.eval.score import score_whole_file
from refute.engines.humaneval.backends.interface import PROBED, Backend
from refute.engines.humaneval.readers.result_file import RESULTS
from refute.engines.humaneval.readers.sample_file import read_samples
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import write_samples
from refute.engines.humaneval.scoring.execute import Limits
from refute.errors import ExperimentError, UsageError
from refute.spec.bars.sequential import Design


def run_humaneval(
    request: EvalRequest, problems: ProblemSet, out: Path, limits: Limits, design: Design | None = None
) -> dict[str, object]:
    """Generate and score into `out`: samples.jsonl, results.jsonl, summary.json; returns the summary.

    With a `design` problems are put in its seeded order, and only until it has decided. An interrupted run goes on from
    its last sample; what a batch had not finished is generated again, so that the samples are those of an undisturbed
    run. Within the allowed share a sample without an answer or a verdict counts as failed. Raises UsageError where
    `out` holds another run and for a design with several samples a problem, MissingInputsError for a model without
    weights or tokenizer, NonFiniteError or ExperimentError where the model fails more often, or so many problems are at
    fault: an error, and no score.
    """
    if design is not None and request.sampler.n != 1:
        raise UsageError(f"--bar takes one sample a problem, not {request.sampler.n}", hint="leave out --bar, or -n")
    identity = samples_identity(request, problems, design)
    claim(out, identity)
    problems.require_sound(problems.faults(limits), request.allowed_errors)
    if design is None:
        figures = _generate_then_score(request, problems, out, limits, identity)
    else:
        figures = generate_until_decided(request, problems, out, limits, design, identity)
    summary = {
        **figures,
        "allowed_errors": request.allowed_errors,
        "generation": {**identity, **read_json(out / GENERATION)},
    }
    write_json(out / SUMMARY, summary)
    return summary


def _generate_then_score(
    request: EvalRequest, problems: ProblemSet, out: Path, limits: Limits, identity: Mapping[str, object]
) -> dict[str, object]:
    """Every sample, then its result; what an earlier call generated is only scored."""
    if not (out / GENERATION).exists():
        _generate(request, problems, out, identity)
    generation = read_json(out / GENERATION)
    require_sampled(request.sampler, generation)
    unanswered = [(each["task_id"], each["sample"]) for each in generation["errors"]]
    figures = score_whole_file(
        read_samples(out / SAMPLES, problems.problems),
        out / RESULTS,
        problems=problems,
        limits=limits,
        partial=bool(unanswered),
        unanswered=unanswered,
        asked={name: generation[name] for name in ASKED},
    )
    _require_few_errors(request, figures, generation)
    return figures


def _generate(request: EvalRequest, problems: ProblemSet, out: Path, identity: Mapping[str, object]) -> None:
    failures = Failures(len(problems.problems) * request.sampler.n, request.allowed_errors)
    with (
        run_console(out) as console,
        open_backend(request, problems, out / LOG, identity, console, failures) as backend,
    ):
        if request.server is not None:
            # Before the server is asked for all: facts are measured once.
            _check_first(backend, request, problems, out)
        completions = backend.generate(problems.problems)
        report = generation_report(backend.facts(), completions, failures.reasons)
        with _asked_again(out):
            require_sampled(request.sampler, report)
        write_samples(out / SAMPLES, completions)
        write_json(out / GENERATION, report)
        console.check_stop()


def _check_first(backend: Backend, request: EvalRequest, problems: ProblemSet, out: Path) -> None:
    """Whether the first samples come out the same again. Raises as `require_repeated` does."""
    completions = backend.generate(problems.problems[:PROBED])
    if completions:
        with _asked_again(out):
            require_repeated(request.sampler, generation_report(backend.facts(), completions, {}))


@contextmanager
def _asked_again(out: Path) -> Iterator[None]:
    """Samples that failed their check are no samples: the next call in this folder asks for them again."""
    try:
        yield
    except ExperimentError:
        (out / LOG).unlink(missing_ok=True)
        raise


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
