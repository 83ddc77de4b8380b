"""Experiment: every exported file answers HumanEval's problems for itself. No score goes from one file to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

from refute.disk import file_sha256
from refute.engines.humaneval.experiments.evaluate import checked_problems, execute_answers
from refute.engines.humaneval.experiments.release_backend import call_log, open_release_backend
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.asked import each_sample
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
from refute.engines.humaneval.scoring.early_stop import seeded_order
from refute.job import Job
from refute.spec.experiments.evidence.export import ExportedFile
from refute.spec.experiments.evidence.humaneval import AskedFormat, FormatAnswer, FormatScores
from refute.spec.experiments.evidence_files import EXPORTED, EXPORTS, FORMAT_ANSWERS, FORMAT_SCORES, GGUF_FILES
from refute.spec.experiments.humaneval import FormatsConfig, LlamaCppFile
from refute.spec.experiments.parsing import parse_config


def ask_formats(job: Job) -> None:
    """Write formats.json, the `FormatScores`, and answers.jsonl, a `FormatAnswer` a row, of every file of the evidence
    `exported`: greedy answers in llama.cpp, one at a time, to the same problems.

    Raises as `evaluate` does.
    """
    config = parse_config(FormatsConfig, job)
    require_isolation(Isolation(config.humaneval.minimum_isolation))
    problems = checked_problems(config.humaneval, config.problems_path, config.limit)
    drawn = seeded_order(problems, config.seed)[: config.problems_at_most]
    made = EXPORTS.read(job.inputs[EXPORTED].folder, EXPORTED)
    files, rows = list[AskedFormat](), list[FormatAnswer]()
    for each in made.files:
        asked, answers = _ask(job, config, each, drawn)
        files.append(asked)
        rows += answers
    found = FormatScores(llama_cpp=version("xllamacpp"), drawn_of=len(problems), seed=config.seed, files=tuple(files))
    FORMAT_SCORES.write(job.out, found)
    FORMAT_ANSWERS.write(job.out, rows)


def _ask(
    job: Job, config: FormatsConfig, file: ExportedFile, problems: Sequence[Problem]
) -> tuple[AskedFormat, list[FormatAnswer]]:
    """What one file is and answers, with its verdicts."""
    path = job.inputs[EXPORTED].path(GGUF_FILES.name) / file.file
    sha256 = file_sha256(path)
    if not isinstance(config.backend, LlamaCppFile):
        raise TypeError(f"exported files are asked in llama.cpp, and not in {config.backend}")
    backend = config.backend.model_copy(update={"path": str(path), "sha256": sha256})
    own = replace(job, scratch=job.scratch / file.label)
    answers = _answers(own, config.model_copy(update={"backend": backend}), file.label, problems)
    passed = sum(each.passed for each in answers)
    asked = AskedFormat(
        label=file.label,
        file=file.file,
        sha256=sha256,
        problems=len(answers),
        passed=passed,
        pass_at_1=passed / len(answers),
    )
    return asked, answers


def _answers(job: Job, config: FormatsConfig, label: str, problems: Sequence[Problem]) -> list[FormatAnswer]:
    job.scratch.mkdir(parents=True, exist_ok=True)
    failures = Failures(len(problems))
    with open_release_backend(job, config, problems, failures) as backend:
        completions = backend.generate(problems)
    texts = {each.task_id: each.text for each in completions}
    isolation = Isolation(config.humaneval.minimum_isolation)
    results = execute_answers(job, config, isolation, each_sample(problems), texts, failures)
    calls = {call.task_id: call for call in call_log(job).calls_of(completions)}
    return [
        FormatAnswer(
            label=label,
            task_id=result.task_id,
            prompt_ids=calls[result.task_id].prompt_ids or (),
            max_new_tokens=calls[result.task_id].max_new_tokens,
            stop_sequences=calls[result.task_id].stop_sequences,
            completion=texts[result.task_id],
            passed=result.passed,
            outcome=result.outcome,
        )
        for result in results
    ]
