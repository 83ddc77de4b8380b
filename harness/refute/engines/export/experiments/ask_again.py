"""Experiment: a few answers of every staged file made again, by code that shares nothing with what made them."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from refute.disk import file_sha256
from refute.engines.model.server.llama_cpp import LlamaCpp, serve_in_llama_cpp
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import AnswerAgain, FormatAnswer
from refute.spec.experiments.evidence_files import (
    FORMAT_ANSWERS,
    FORMAT_ANSWERS_AGAIN,
    FORMAT_SCORES,
    HUMANEVAL_FORMATS,
    RELEASED,
    STAGED,
)
from refute.spec.experiments.export import AskAgainConfig
from refute.spec.experiments.parsing import parse_config


def ask_again(job: Job) -> None:
    """Write again.jsonl: of the answers of every file that was asked (evidence `humaneval_formats`) a few, drawn now,
    as the staged file of that name answers them.

    Raises FileNotFoundError for a file that was asked and is not staged, ExperimentError as llama.cpp does.
    """
    config = parse_config(AskAgainConfig, job)
    asked = job.inputs[HUMANEVAL_FORMATS].folder
    answers = FORMAT_ANSWERS.read(asked, HUMANEVAL_FORMATS)
    entropy, rows = secrets.token_hex(16), list[AnswerAgain]()
    files = FORMAT_SCORES.read(asked, HUMANEVAL_FORMATS).files
    for done, each in enumerate(files, start=1):
        path = job.inputs[STAGED].path(f"{RELEASED.name}/{each.file}")
        own = sorted((row for row in answers if row.label == each.label), key=lambda row: _lot(entropy, row))
        rows += _again(path, own[: config.answers], entropy, config.threads)
        job.progress("ask again", done, len(files))
    FORMAT_ANSWERS_AGAIN.write(job.out, rows)


def _lot(entropy: str, row: FormatAnswer) -> bytes:
    return hashlib.sha256(f"{entropy}\0{row.label}\0{row.task_id}".encode()).digest()


def _again(path: Path, recorded: Sequence[FormatAnswer], entropy: str, threads: int) -> Iterator[AnswerAgain]:
    digest = file_sha256(path)
    room = max(len(row.prompt_ids) + row.max_new_tokens for row in recorded) + 8
    with serve_in_llama_cpp(path, context=room, threads=threads) as server:
        for row in recorded:
            yield AnswerAgain(
                label=row.label,
                file_sha256=digest,
                entropy=entropy,
                task_id=row.task_id,
                recorded=row.completion,
                completion=_answer(server, row),
            )


def _answer(server: LlamaCpp, row: FormatAnswer) -> str:
    """The file's greedy text behind the recorded prompt, up to its first stop.

    A newline that the prompt ends with may belong to the answer: which of both it was, the recorded one shows.
    """
    how = {"n_predict": row.max_new_tokens, "temperature": 0.0, "cache_prompt": False}
    said = str(server.ask("completion", {"prompt": list(row.prompt_ids), **how})["content"])
    stops = re.compile("|".join(f"(?:{stop})" for stop in row.stop_sequences))
    ways = [stops.split(beginning + said, maxsplit=1)[0] for beginning in ("", "\n")]
    return ways[1] if row.completion == ways[1] else ways[0]
