"""The HumanEval experiments: score a model, and score answers whose score is known beforehand."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from refute.disk import file_sha256, write_whole
from refute.engines.humaneval.audit.near_miss import near_misses
from refute.engines.humaneval.audit.problem_file import read_tasks
from refute.engines.humaneval.experiments.canaries import mix
from refute.engines.humaneval.experiments.canned import ENDLESS, KINDS, NEAR_MISS, canned_program, program_with_body
from refute.engines.humaneval.experiments.release_backend import (
    call_log,
    generation_of,
    open_release_backend,
    require_repeatable,
    sampler_of,
    with_exported_file,
)
from refute.engines.humaneval.problems.problems import Problem, load_problems
from refute.engines.humaneval.problems.program import assemble
from refute.engines.humaneval.samples.asked import Asked, each_sample
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import write_samples
from refute.engines.humaneval.sandbox.stations import Result
from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
from refute.engines.humaneval.scoring.format_faults import Answer, ending, endings, format_faults
from refute.engines.humaneval.scoring.score import score
from refute.engines.humaneval.scoring.tally import Count as Tally
from refute.engines.humaneval.scoring.tally import mean_pass_at_k
from refute.errors import DigestMismatchError, ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.experiments.evidence.humaneval import (
    Calibration,
    Count,
    EvaluationSummary,
    Prompt,
    SampledSummary,
    answer_name,
)
from refute.spec.experiments.evidence.humaneval import Result as ResultRow
from refute.spec.experiments.evidence_files import (
    CALIBRATION,
    CANARIES,
    EVALUATION_SUMMARY,
    MODEL_CALLS,
    PROMPTS,
    RESULTS,
    SAMPLES,
    results_of,
)
from refute.spec.experiments.humaneval import CalibrateConfig, EvaluateConfig
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import HumanEval

Json = Mapping[str, object]
_LOOP_TIMEOUT_S = 2.0
# Problems of which a near miss is scored: enough for one that fails, since some operators do not matter.
_NEAR_MISSES = 16
_NOT_THE_MODEL = "the sandbox or the problem is at fault, not the model; look at the machine, then run again"


def evaluate(job: Job) -> None:
    """Let a model answer the problems, execute the answers, and write what came out.

    It answers greedily, or with as many drawn samples a problem as `humaneval.sampling` says.
    Writes to `job.out`: `samples.jsonl` (openai/human-eval's keys, and how each sample ended), `model_calls.jsonl`
    (what the model was really asked for each) and `results.jsonl` (one verdict a sample), all in problem order and
    without clock readings, `canaries.jsonl` (verdicts on answers known to be right or wrong that were judged among
    them), and `summary.json`. Finished batches are kept in `job.scratch` and not generated again after a kill.

    A sample without an answer or without a verdict is a row with the outcome `error`, up to the share of all that
    the configuration allows, which is none by default. Raises ExperimentError for one more, where the machine cannot
    isolate programs as demanded (before anything is generated), where samples do not begin the same when
    generated once more, or where the sandbox was at fault with a canary; MissingInputsError, DigestMismatchError and
    NonFiniteError as their names say.
    """
    config = with_exported_file(parse_config(EvaluateConfig, job), job)
    isolation = require_isolation(Isolation(config.humaneval.minimum_isolation))
    problems = checked_problems(config.humaneval, config.problems_path, config.limit)
    asked = each_sample(problems, sampler_of(config.humaneval).n)
    failures = Failures(len(asked), config.allowed_error_share)
    began = time.monotonic()
    with open_release_backend(job, config, problems, failures) as backend:
        completions = backend.generate(problems)
        made = backend.facts()
    require_repeatable(made)
    write_samples(job.out / SAMPLES.name, completions)
    texts = {answer_name(*completion.key): completion.text for completion in completions}
    results, canaries = _execute_among_canaries(job, config, isolation, asked, texts, failures)
    answers = ended_answers(asked, texts, results)
    passed = sum(result.passed for result in results)
    sampled = config.humaneval.sampling is not None
    if sampled:
        write_rows(job.out / RESULTS.name, map(_row_of_sample, asked, results))
    else:
        write_results(job.out / RESULTS.name, results)
    write_results(job.out / CANARIES.name, canaries)
    write_prompts(job.out / PROMPTS.name, problems)
    write_rows(job.out / MODEL_CALLS.name, call_log(job).calls_of(completions))
    summary = EvaluationSummary(
        **dict(generation_of(config, made, completions, failures)),
        problems=len(problems),
        passed=passed,
        pass_at_1=passed / len(asked),
        outcomes=dict(Counter(result.outcome for result in results)),
        format_faults=format_faults(answers),
        endings=endings(answers),
        timeouts_retried=sum(result.retried for result in results),
        isolation=isolation.value,
        timeout_s=config.humaneval.timeout_s,
        wall_s=time.monotonic() - began,
        slowest_program_s=max(result.wall_s for result in results),
        problems_sha256=config.humaneval.problems.sha256,
    )
    written = _sampled(summary, asked, results) if sampled else summary
    write_json(job.out / EVALUATION_SUMMARY.name, written.as_json())


def _row_of_sample(asked: Asked, result: Result) -> ResultRow:
    """The result under its task and the number of its sample."""
    return _row(result).model_copy(update={"task_id": asked.problem.task_id, "sample": asked.sample})


def _sampled(summary: EvaluationSummary, asked: Sequence[Asked], results: Sequence[Result]) -> SampledSummary:
    passes: dict[str, list[bool]] = {}
    for each, result in zip(asked, results, strict=True):
        passes.setdefault(each.problem.task_id, []).append(result.passed)
    found = mean_pass_at_k([Tally(len(own), sum(own)) for own in passes.values()])
    samples = len(asked) // summary.problems
    return SampledSummary(**dict(summary), samples=samples, pass_at_k={str(k): value for k, value in found.items()})


def calibrate(job: Job) -> None:
    """Score answers of every kind in `canned.KINDS` on the problems, near misses of some, and one endless loop.

    Writes `results_<kind>.jsonl` for each kind and `calibration.json`: passed and problems of each kind, the
    isolation used, the time limit, and the outcome of the loop. It states; whether this scorer may be trusted
    is for a falsifier and its threshold to say: `results_near_miss.jsonl` are right answers with one operator broken,
    which must be seen to differ from right ones. Raises as `evaluate` does.
    """
    config = parse_config(CalibrateConfig, job)
    isolation = require_isolation(Isolation(config.humaneval.minimum_isolation))
    problems = checked_problems(config.humaneval, config.problems_path, config.humaneval.calibration_limit)
    counts: dict[str, Count] = {}
    for kind in KINDS:
        programs = {problem.task_id: canned_program(problem, kind) for problem in problems}
        results = execute_programs(job, config.humaneval, isolation, problems, programs, stage=kind)
        write_results(job.out / results_of(kind).name, results)
        counts[kind] = Count(passed=sum(result.passed for result in results), problems=len(results))
    # A loop uses up whatever it is given, twice: a timeout is tried again alone.
    brief = config.humaneval.model_copy(update={"timeout_s": min(config.humaneval.timeout_s, _LOOP_TIMEOUT_S)})
    broken = dict(islice(_near_misses(config, problems), _NEAR_MISSES))
    missed = [problem for problem in problems if problem.task_id in broken]
    results = execute_programs(job, brief, isolation, missed, broken, stage="near misses")
    write_results(job.out / results_of(NEAR_MISS).name, results)
    loop = {problems[0].task_id: program_with_body(problems[0], ENDLESS)}
    results = execute_programs(job, brief, isolation, problems[:1], loop, stage="endless loop")
    write_results(job.out / results_of("loop").name, results)
    calibration = Calibration(
        canonical=counts["canonical"],
        empty=counts["empty"],
        always_equal=counts["always_equal"],
        system_exit=counts["system_exit"],
        os_exit=counts["os_exit"],
        isolation=isolation.value,
        timeout_s=config.humaneval.timeout_s,
        loop_outcome=results[0].outcome,
    )
    write_json(job.out / CALIBRATION.name, calibration.as_json())


def _near_misses(config: CalibrateConfig, problems: Sequence[Problem]) -> Iterator[tuple[str, str]]:
    """The program of a near miss of each problem that has one, by its id."""
    tasks = read_tasks(Path(config.problems_path))
    for problem in problems:
        for completion in islice(near_misses(tasks[problem.task_id]), 1):
            yield problem.task_id, assemble(problem, completion)


def checked_problems(settings: HumanEval, path: str, limit: int | None) -> tuple[Problem, ...]:
    """The problems at `path`, or the first `limit`. Raises DigestMismatchError where they are not the release's."""
    problems = load_problems(Path(path), limit=limit)
    digest = file_sha256(Path(path))
    if digest != settings.problems.sha256:
        raise DigestMismatchError(
            f"{path} has SHA-256 {digest}, the release names {settings.problems.sha256}",
            hint="restore the problem file, or state the digest of the one you mean",
        )
    return problems


def execute_programs(
    job: Job,
    settings: HumanEval,
    isolation: Isolation,
    problems: Sequence[Problem],
    programs: Mapping[str, str],
    *,
    stage: str = "execute",
    workers: int = 2,
) -> tuple[Result, ...]:
    """A verdict for every program. Raises ExperimentError where one got none: that is no zero."""
    results = _execute(job, settings, isolation, problems, programs, stage=stage, workers=workers)
    _refuse_faults(results)
    return results


def execute_answers(
    job: Job,
    config: EvaluateConfig,
    isolation: Isolation,
    asked: Sequence[Asked],
    texts: Mapping[str, str],
    failures: Failures,
) -> list[Result]:
    """A result for each of `asked`, in their order: `error` where `texts` has no answer, or it got no verdict."""
    answered = _answered(asked, texts)
    programs = {problem.task_id: assemble(problem, texts[problem.task_id]) for problem in answered}
    found = _execute(job, config.humaneval, isolation, answered, programs, stage="execute", workers=config.threads)
    return _with_failures(asked, found, failures)


def _answered(asked: Sequence[Asked], texts: Mapping[str, str]) -> list[Problem]:
    """The problems of the samples that there are, under the names of their answers."""
    return [problem for problem in (each.named for each in asked) if problem.task_id in texts]


def ended_answers(asked: Sequence[Asked], texts: Mapping[str, str], results: Sequence[Result]) -> tuple[Answer, ...]:
    """What was answered to each of `asked`, and how it ended; one that there is not is left out."""
    ended = {result.task_id: ending(result.outcome, result.detail) for result in results}
    answered = _answered(asked, texts)
    return tuple(Answer(problem, texts[problem.task_id], ended[problem.task_id]) for problem in answered)


def _execute_among_canaries(
    job: Job,
    config: EvaluateConfig,
    isolation: Isolation,
    asked: Sequence[Asked],
    texts: Mapping[str, str],
    failures: Failures,
) -> tuple[list[Result], list[Result]]:
    """Results of the model's answers, as `execute_answers` gives them, and of the canaries hidden among them."""
    answered = _answered(asked, texts)
    entries = mix(answered, [texts[problem.task_id] for problem in answered])
    programs = {entry.hidden_id: assemble(entry.problem, entry.completion) for entry in entries}
    hidden = [entry.hidden_problem for entry in entries]
    found = _execute(job, config.humaneval, isolation, hidden, programs, stage="execute", workers=config.threads)
    by_name = {named.task_id: named for named in (e.named(r) for e, r in zip(entries, found, strict=True))}
    own = [by_name.pop(problem.task_id) for problem in answered]
    canaries = [by_name[name] for name in sorted(by_name)]
    _refuse_faults(canaries)
    return _with_failures(asked, own, failures), canaries


def _with_failures(asked: Sequence[Asked], results: Sequence[Result], failures: Failures) -> list[Result]:
    """`results`, and an `error` for each of `asked` that has none, in their order."""
    found, complete = {result.task_id: result for result in results}, list[Result]()
    for each in asked:
        name = each.named.task_id
        result = found.get(name)
        if result is None:
            result = Result(name, False, "error", failures.reasons[each.key], wall_s=0.0)
        elif result.outcome == "error":
            message = f"{name}: the program got no verdict, which is no zero: {result.detail}"
            failures.add(each.key, ExperimentError(message, hint=_NOT_THE_MODEL))
        complete.append(result)
    return complete


def _execute(
    job: Job,
    settings: HumanEval,
    isolation: Isolation,
    problems: Sequence[Problem],
    programs: Mapping[str, str],
    *,
    stage: str,
    workers: int,
) -> tuple[Result, ...]:
    seen: list[Result] = []

    def tell(result: Result) -> None:
        seen.append(result)
        job.progress(stage, len(seen), len(problems), passed=sum(each.passed for each in seen))

    return score(
        problems,
        programs,
        timeout_s=settings.timeout_s,
        memory_mib=settings.memory_mib,
        isolation=isolation,
        workers=workers,
        on_result=tell,
    )


def _refuse_faults(results: Sequence[Result]) -> None:
    faults = [result for result in results if result.outcome == "error"]
    if faults:
        raise ExperimentError(
            f"{len(faults)} of {len(results)} programs got no verdict, which is no zero; the first: "
            f"{faults[0].task_id}: {faults[0].detail}",
            hint=_NOT_THE_MODEL,
        )


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write `results` as JSON Lines, in their order and without clock readings."""
    write_rows(path, map(_row, results))


def _row(result: Result) -> ResultRow:
    return ResultRow(task_id=result.task_id, passed=result.passed, outcome=result.outcome, detail=result.detail)


def write_prompts(path: Path, problems: Iterable[Problem]) -> None:
    """Write the prompts of `problems`, for whoever reads the answers."""
    write_rows(path, (Prompt(task_id=problem.task_id, prompt=problem.prompt) for problem in problems))


def write_rows(path: Path, rows: Iterable[EvidenceModel]) -> None:
    """Write `rows` as JSON Lines, their keys in the order of the model's fields."""
    write_whole(path, "".join(f"{json.dumps(row.as_json())}\n" for row in rows).encode("ascii"))


def write_json(path: Path, content: Json) -> None:
    """Write `content` with sorted keys."""
    write_whole(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode("ascii"))
