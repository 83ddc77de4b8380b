"""`refute eval humaneval --bar …`: completions generated and executed batch by batch, until the bar is decided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from refute.cli.eval.backend import EvalRequest, open_backend
from refute.cli.eval.generation_report import generation_report, require_sampled
from refute.cli.eval.problem_set import ProblemSet
from refute.cli.eval.run_console import run_console
from refute.cli.eval.run_folder import ASKED, GENERATION, LOG, SAMPLES, read_json, write_json
from refute.cli.eval.score_sequential import Fetch, SequentialRun
from refute.engines.humaneval.backends.interface import PROBED, Backend
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.readers.result_file import RESULTS
from refute.engines.humaneval.readers.sample_file import Sample, read_samples
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import write_samples
from refute.engines.humaneval.samples.sampler import Sampler
from refute.engines.humaneval.scoring.execute import Limits
from refute.errors import ExperimentError
from refute.spec.bars.sequential import Design


def generate_until_decided(
    request: EvalRequest,
    problems: ProblemSet,
    out: Path,
    limits: Limits,
    design: Design,
    identity: Mapping[str, object],
) -> dict[str, object]:
    """Generate and score in the seeded order up to the look that decides, into `out`; returns the figures.

    Files, errors and interruptions are those of `run_humaneval`, and the model is asked for no more than was executed.
    The allowed share of errors is of the problems that were put.
    """
    failures = Failures(len(problems.problems), request.allowed_errors)
    run_sha256 = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    with run_console(out) as console:
        run = SequentialRun(problems, design, limits, out / RESULTS, console, failures)
        if (out / GENERATION).exists():
            asked = read_json(out / GENERATION)
            return run.execute(_generated_before(out, problems, failures), run_sha256=run_sha256, **_asked(asked))
        told = replace(console, report=run.report)
        with open_backend(request, problems, out / LOG, identity, told, failures) as backend:
            batches = _GeneratedBatches(backend, request.sampler)
            asked = _asked(asdict(backend.prompt_format))
            figures = run.execute(batches.fetch, run_sha256=run_sha256, **asked)
            batches.write(out, failures)
            return figures


def _asked(found: Mapping[str, object]) -> dict[str, object]:
    return {name: found[name] for name in ASKED}


class _GeneratedBatches:
    """Samples as a model gives them, batch after batch; and whether they are what its sampler should give."""

    def __init__(self, backend: Backend, sampler: Sampler) -> None:
        self._backend, self._sampler = backend, sampler
        self._completions: list[Completion] = []
        self._checked = False

    def fetch(self, batch: Sequence[Problem]) -> Sequence[Sample]:
        """One sample for each problem that has an answer. Raises ExperimentError as `require_sampled` does."""
        found = self._backend.generate(batch)
        self._completions += found
        if not self._checked and len(self._completions) >= PROBED:
            self._report({})
        return [Sample(each.task_id, each.sample, each.text, line=0) for each in found]

    def write(self, out: Path, failures: Failures) -> None:
        """samples.jsonl in the order in which the problems were put, then generation.json."""
        answered = {completion.key for completion in self._completions}
        generation = self._report({key: why for key, why in failures.reasons.items() if key not in answered})
        write_samples(out / SAMPLES, self._completions)
        write_json(out / GENERATION, generation)

    def _report(self, unanswered: Mapping[Key, str]) -> dict[str, object]:
        found = generation_report(self._backend.facts(), self._completions, unanswered)
        require_sampled(self._sampler, found)
        self._checked = True
        return found


def _generated_before(out: Path, problems: ProblemSet, failures: Failures) -> Fetch:
    """The samples of a run that has ended, and its failures."""
    for each in read_json(out / GENERATION)["errors"]:
        failures.reasons[each["task_id"], each["sample"]] = each["reason"]
    by_task = {sample.task_id: sample for sample in read_samples(out / SAMPLES, problems.problems).samples}

    def fetch(batch: Sequence[Problem]) -> Sequence[Sample]:
        unasked = [
            each.task_id for each in batch if each.task_id not in by_task and (each.task_id, 0) not in failures.reasons
        ]
        if unasked:
            # A program without a verdict then has one now, and the passes no longer end the run where it ended.
            raise ExperimentError(
                f"the run in {out} ended before {unasked[0]} was asked, and is not decided there any more",
                hint=f"remove {out / GENERATION}: the same command then asks on",
            )
        return [by_task[problem.task_id] for problem in batch if problem.task_id in by_task]

    return fetch
