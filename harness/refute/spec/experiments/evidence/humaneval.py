"""What the HumanEval engine writes: answers, verdicts on them, and how both were made."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from refute.spec.bars.sequential import Look, Spending
from refute.spec.experiments.evidence.base import EvidenceModel, Several, SparseModel
from refute.spec.fields import Sha256

Outcome = Literal["passed", "failed", "timeout", "error"]
Stop = Literal["eos", "stop", "length"]
# Whom a test of memorisation compares.
Asked = Literal["teacher", "init", "student"]


def answer_name(task_id: str, sample: int) -> str:
    """What an answer is called where each has a name: its task's first, and only, sample by the task alone."""
    return task_id if sample == 0 else f"{task_id}~{sample}"


class Sample(SparseModel):
    """An answer: the two keys of openai/human-eval, which of the task's samples it is, and how it ended.

    `new_tokens` counts every token decoded. `key` is there in a log that more than one run may write to, `answer` (the
    whole of it) and `extraction` where the completion was found in a chat's answer.
    """

    task_id: str
    completion: str
    new_tokens: int
    stop: Stop
    sample: int
    answer: str | None = None
    extraction: str | None = None
    key: str | None = None


class Result(SparseModel):
    """The verdict on a program; `detail` is hostile text of bounded length, `sample` there where a task has several."""

    task_id: str
    passed: bool
    outcome: Outcome
    detail: str
    sample: int | None = None


class Prompt(EvidenceModel):
    """A problem as it was put."""

    task_id: str
    prompt: str


class ModelCall(SparseModel):
    """What a model was really asked for one sample, noted where it is called, and the limits in force there.

    A server that splits text into tokens itself is known by the text that it was sent: then there is `prompt`, and no
    `prompt_ids`. Where the model lies in this process, `end_ids` are the tokens that end its answer, `dtype` is that of
    its weights, and `batch` counts the samples that are computed together. `top_p` and `seed` are a drawn one's.
    """

    task_id: str
    sample: int
    prompt_ids: Several[int] | None = None
    prompt: str | None = None
    system_prompt: str | None = None
    max_new_tokens: int
    stop_sequences: Several[str]
    end_ids: Several[int] | None = None
    sampler: str
    temperature: float
    top_p: float | None = None
    seed: int | None = None
    dtype: str | None = None
    batch: int | None = None


class ExpectedCall(SparseModel):
    """What a model had to be asked by problem file and protocol, found without the code that asks; see `ModelCall`."""

    task_id: str
    sample: int | None = None
    prompt_ids: Several[int] | None = None
    prompt: str | None = None
    max_new_tokens: int
    stop_sequences: Several[str]
    end_ids: Several[int] | None = None
    sampler: str
    temperature: float
    top_p: float | None = None
    seed: int | None = None
    dtype: str | None = None
    batch_at_most: int


class BackendFacts(SparseModel):
    """Who answered: a library, with the GGUF file that it read, or a server that was asked for a model."""

    kind: str
    version: str | None = None
    file_sha256: Sha256 | None = None
    base_url: str | None = None
    model: str | None = None


class EffectiveSampler(EvidenceModel):
    """How tokens were chosen, as the sampler states it; a server's own settings (min_p, mirostat ...) stand beside."""

    model_config = ConfigDict(extra="allow")

    method: str
    temperature: float
    n: int
    repetition_penalty: float
    top_p: float
    seed: int | None


class Repeated(EvidenceModel):
    """Of `samples` that were asked for once more, how many came out the same."""

    samples: int
    identical: int


class Generation(EvidenceModel):
    """How answers were made, and how many there are not; digest and system prompt are None where there is none."""

    protocol: str
    stop_sequences: Several[str]
    extraction: str
    template_sha256: Sha256 | None
    system_prompt: str | None
    backend: BackendFacts
    max_new_tokens: int
    batch_size: int
    effective_sampler: EffectiveSampler
    sampler_reported_by: str
    samples_depend_on: str
    repeated: Repeated
    stops: dict[Stop, int]
    truncated: int
    generated_tokens: int
    tokens_per_s: float
    errors: int
    allowed_error_share: float


class Scored(Generation):
    """How answers were made and what they came to.

    `format_faults` counts answers that are empty, no Python behind their prompt, or define something else, by symptom,
    and `endings` all answers by how their programs ended: the exception, or the outcome.
    """

    problems: int
    passed: int
    format_faults: dict[str, int]
    endings: dict[str, int]
    timeouts_retried: int
    isolation: str
    timeout_s: float
    problems_sha256: Sha256


class EvaluationSummary(Scored):
    """All problems were put. `pass_at_1` is a share."""

    pass_at_1: float
    outcomes: dict[Outcome, int]
    wall_s: float
    slowest_program_s: float


class SampledSummary(EvaluationSummary):
    """All problems were put, each `samples` times: `passed`, `outcomes` and the faults count samples.

    `pass_at_k` is the mean over problems of the unbiased estimate, as a share, by k.
    """

    samples: int
    pass_at_k: dict[str, float]


class PreviousSummary(EvidenceModel):
    """How the student of an earlier release was asked."""

    protocol: str
    system_prompt: str | None
    problems_sha256: Sha256


class EarlierRelease(EvidenceModel):
    """What a report says of one release before, such as `Solved by the student of v1, judged 2026-11-30`."""

    label: str
    value: str


class Baseline(EvidenceModel):
    """The earlier release by its signed verdict, whose payload has this digest; `trend`: it, behind those before it."""

    release: str
    payload_sha256: Sha256
    trend: Several[EarlierRelease]


class AskedFormat(EvidenceModel):
    """An exported file that answered, by its SHA-256 when it was asked. `pass_at_1` is a share."""

    label: str
    file: str
    sha256: Sha256
    problems: int
    passed: int
    pass_at_1: float


class FormatScores(EvidenceModel):
    """Every exported file, each asked for itself; the problems were drawn from `drawn_of` by `seed`."""

    llama_cpp: str
    drawn_of: int
    seed: int
    files: Several[AskedFormat]


class FormatAnswer(EvidenceModel):
    """What the file of one label answered to a problem, what it was asked, and the verdict."""

    label: str
    task_id: str
    prompt_ids: Several[int]
    max_new_tokens: int
    stop_sequences: Several[str]
    completion: str
    passed: bool
    outcome: Outcome


class AnswerAgain(EvidenceModel):
    """An answer that was asked for again, of the staged file with this SHA-256; `recorded` is what was answered first.

    Nobody could know before that it would be: answers are in the order of SHA-256(`entropy` NUL label NUL task).
    """

    label: str
    file_sha256: Sha256
    entropy: str
    task_id: str
    recorded: str
    completion: str


class SequentialSummary(Scored):
    """Problems were put until a sequential test had decided, at most `problems_at_most`."""

    mode: Literal["sequential"]
    problems_at_most: int


class Boundary(EvidenceModel):
    """A look after `n` problems, and the counts of passes that end the run there."""

    n: int
    stop_at_most: int
    stop_at_least: int

    def look(self) -> Look:
        """The same as the sequential test knows it."""
        return Look(self.n, self.stop_at_most, self.stop_at_least)


class SequentialRule(EvidenceModel):
    """A sequential test (`bars.sequential.Design`) with its boundaries: whoever obeys it only compares counts."""

    bar: float
    error_rate: float
    spending: Spending
    looks: Several[int]
    seed: int
    boundaries: Several[Boundary]


class SequentialDesign(SequentialRule):
    """The test, and the order in which problems are put."""

    order: Several[str]


class Count(EvidenceModel):
    """Passes among problems."""

    passed: int
    problems: int


class Calibration(EvidenceModel):
    """What answers of a known kind came to; `loop_outcome` is that of one that never ends."""

    canonical: Count
    empty: Count
    always_equal: Count
    system_exit: Count
    os_exit: Count
    isolation: str
    timeout_s: float
    loop_outcome: Outcome


class Replayed(SparseModel):
    """An answer of a run made again: `recorded` is the run's, `passed` the verdict on that one, executed again.

    `completion` is what the model says now; without it the answer was only executed again.
    """

    task_id: str
    sample: int | None = None
    completion: str | None = None
    recorded: str
    passed: bool
    recorded_passed: bool


class Familiarity(EvidenceModel):
    """How likely a task's solution is to a model, in nat per token: under its own names, and under others."""

    model: Asked
    task_id: str
    original: float
    renamed: float


class ReplayDraw(EvidenceModel):
    """Which answers were made again: nobody could know before, for `entropy` was drawn after the run had ended.

    Answers are in the order of SHA-256(`entropy` NUL `run_sha256` NUL `answer_name`). Of `passes` (as recorded) all are
    executed again and the first `passes_at_most` generated, of the others the first `others_at_most`, both ways.
    `run_sha256` is that of the run's answers and verdicts, `executor` what executed them.
    """

    entropy: str
    run_sha256: Sha256
    passes: int
    others: int
    passes_at_most: int
    others_at_most: int
    executor: Literal["bubblewrap", "rlimits", "sandbox"]
