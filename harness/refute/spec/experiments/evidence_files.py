"""Evidence by its names: what the built-in experiments are called, which files each writes, and what stands in them.

Engines write the models of `evidence/`; whoever reads a file back gets that model, or an EvidenceError that names
file and field: evidence of another version is no evidence, and never half of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from refute.disk import write_whole
from refute.errors import EvidenceError
from refute.spec.experiments.custody import Custody
from refute.spec.experiments.evidence import (
    distill,
    dogfood,
    drill,
    export,
    finished,
    humaneval,
    kill_matrix,
    publication,
    redo,
    results,
)
from refute.spec.fields import first_fault
from refute.spec.release import Release

RELEASE: Final = "release"
TEACHER: Final = "teacher"
CORPUS: Final = "corpus"
CONTAMINATION: Final = "contamination"
CORPUS_AUDIT: Final = "corpus_audit"
HELDOUT_PLACES: Final = "heldout_places"
INIT: Final = "init"
INIT_REDO: Final = "init_redo"
LINEAGE: Final = "lineage"
TEACHER_PROBE: Final = "teacher_probe"
KD_MATH: Final = "kd_math"
STUDENT: Final = "student"
STUDENT_AUDIT: Final = "student_audit"
STUDENT_REDO: Final = "student_redo"
STUDENT_OPENED: Final = "student_opened"
STUDENT_LINT: Final = "student_lint"
STUDENT_HELDOUT: Final = "student_heldout"
TRAINING_RECORD: Final = "training_record"
RESULTS_OF_OTHERS: Final = "results"
CE_CONTROL: Final = "ce_control"
CE_CONTROL_AUDIT: Final = "ce_control_audit"
CE_CONTROL_REDO: Final = "ce_control_redo"
HUMANEVAL_CALIBRATION: Final = "humaneval_calibration"
HUMANEVAL_TEACHER: Final = "humaneval_teacher"
HUMANEVAL_INIT: Final = "humaneval_init"
HUMANEVAL_STUDENT: Final = "humaneval_student"
HUMANEVAL_SAMPLED: Final = "humaneval_sampled"
HUMANEVAL_PREVIOUS: Final = "humaneval_previous"
HUMANEVAL_SEQUENTIAL: Final = "humaneval_sequential"
HUMANEVAL_NULL: Final = "humaneval_null"
HUMANEVAL_FORMATS: Final = "humaneval_formats"
HUMANEVAL_REPLAY_TEACHER: Final = "humaneval_replay_teacher"
HUMANEVAL_REPLAY_INIT: Final = "humaneval_replay_init"
HUMANEVAL_REPLAY_STUDENT: Final = "humaneval_replay_student"
HUMANEVAL_REPLAY_NULL: Final = "humaneval_replay_null"
HUMANEVAL_REPLAY_SAMPLED: Final = "humaneval_replay_sampled"
MEMORISATION: Final = "memorisation"
KILL_MATRIX: Final = "kill_matrix"
DRILL: Final = "drill"
SMALL_WORLD: Final = "small_world"
DOGFOOD: Final = "dogfood"
STAGED: Final = "staged"
STAGED_LINT: Final = "staged_lint"
REHEARSAL: Final = "rehearsal"
SIGNED: Final = "signed"
GENERATIONS: Final = "generations"
EXPORTED: Final = "exported"
CONVERTED: Final = "converted"
QUANTISED: Final = "quantised"
TOKENISED: Final = "tokenised"
RENDERED: Final = "rendered"
USED: Final = "used"
FORMATS_AGAIN: Final = "formats_again"

TRAININGS: Final = (STUDENT, CE_CONTROL)
# Those of a model's answers to all problems: the calibration's are known beforehand, others are a few of the student's.
EVALUATIONS: Final = (HUMANEVAL_TEACHER, HUMANEVAL_INIT, HUMANEVAL_STUDENT, HUMANEVAL_NULL)
REPLAYS: Final = (
    HUMANEVAL_REPLAY_TEACHER,
    HUMANEVAL_REPLAY_INIT,
    HUMANEVAL_REPLAY_STUDENT,
    HUMANEVAL_REPLAY_NULL,
    HUMANEVAL_REPLAY_SAMPLED,
)

Content = TypeVar("Content", bound=BaseModel)

_HINT = "it was made by another version: run the experiment again"


@dataclass(frozen=True, slots=True)
class JsonFile(Generic[Content]):
    """A file with one JSON object."""

    name: str
    model: type[Content]

    def read(self, folder: Path, evidence: str) -> Content:
        """What stands in it. Raises EvidenceError for anything else than the model."""
        where = f"{evidence}/{self.name}"
        return _parse(_text(folder / self.name, where), self.model, where)

    def write(self, folder: Path, content: Content) -> None:
        """Put `content` into `folder`. Raises as `write_whole`, and ValueError for NaN, which JSON has no words for."""
        text = json.dumps(content.model_dump(), indent=1, allow_nan=False)
        write_whole(folder / self.name, f"{text}\n".encode())


@dataclass(frozen=True, slots=True)
class RowsFile(Generic[Content]):
    """A file with one JSON object a line."""

    name: str
    model: type[Content]

    def read(self, folder: Path, evidence: str) -> tuple[Content, ...]:
        """The rows in file order. Raises EvidenceError, with the line, for one that is anything else than the model."""
        where = f"{evidence}/{self.name}"
        # Not `splitlines`: JSON text may hold U+2028 and other characters at which that would cut.
        lines = enumerate(_text(folder / self.name, where).split("\n"), start=1)
        return tuple(_parse(line, self.model, f"{where}: line {number}") for number, line in lines if line.strip())

    def write(self, folder: Path, rows: Iterable[Content]) -> None:
        """Put `rows` into `folder`, one a line. Raises as `JsonFile.write`."""
        text = "".join(f"{json.dumps(row.model_dump(), allow_nan=False)}\n" for row in rows)
        write_whole(folder / self.name, text.encode())


@dataclass(frozen=True, slots=True)
class ArraysFile:
    """A safetensors file. A tensor's name that ends in / stands for one of each parameter of a model."""

    name: str
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """A Hugging Face model folder, or what holds one and more."""

    name: str


def _text(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvidenceError(f"evidence {where} cannot be read: {error}") from error


def _parse(text: str, model: type[Content], where: str) -> Content:
    """Not by pydantic's own JSON parser: a server may have sent half of a surrogate pair, which that refuses."""
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["input"]
        raise EvidenceError(f"evidence {where}: {first_fault(error)}, found {_short(found)}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"evidence {where}: expected a JSON object: {error}", hint=_HINT) from error


def _short(found: object) -> str:
    text = ascii(found)
    return text if len(text) <= 80 else f"{text[:80]}…"


# ------------------------------------------------------------------------------------------------ files

MODEL: Final = Folder("model")
MODEL_CONFIG: Final = JsonFile(f"{MODEL.name}/config.json", distill.ModelConfig)

CORPUS_MANIFEST: Final = JsonFile("manifest.json", distill.CorpusManifest)
TRAIN_WINDOWS: Final = ArraysFile("train.safetensors", ("tokens",))
HELDOUT_WINDOWS: Final = ArraysFile("heldout.safetensors", ("tokens",))
OVERLAP: Final = JsonFile("overlap.json", distill.Contamination)
CORPUS_COUNTS: Final = JsonFile("corpus.json", distill.CorpusAudit)
# What the same audit says of that corpus with windows and a file that do not belong there.
PLANTED_COUNTS: Final = JsonFile("planted.json", distill.CorpusAudit)
PLACES: Final = RowsFile("places.jsonl", redo.HeldoutPlace)
# What the same audit says of a window that was moved on by a token, and of one under another file's name.
PLANTED_PLACES: Final = RowsFile("planted.jsonl", redo.HeldoutPlace)
INIT_CHOICE: Final = JsonFile("choice.json", distill.InitChoice)
INIT_AGAIN: Final = JsonFile("again.json", distill.InitAgain)
IDENTITIES: Final = JsonFile("lineage.json", distill.Lineage)
PROBE: Final = JsonFile("probe.json", distill.TeacherProbe)
PROBE_LOGITS: Final = ArraysFile("probe.safetensors", ("input_ids", "provider", "reference"))
# What the same probe says of a teacher that is known to be wrong: laid out as that of the right one.
ROLLED: Final = JsonFile("rolled.json", distill.TeacherProbe)
ROLLED_LOGITS: Final = ArraysFile("rolled.safetensors", PROBE_LOGITS.tensors)
LOSS_CERTIFICATE: Final = JsonFile("math.json", distill.LossCertificate)
WRONG_CERTIFICATE: Final = JsonFile("wrong.json", distill.LossCertificate)

TRAINING_SUMMARY: Final = JsonFile("summary.json", distill.TrainingSummary)
STEPS: Final = RowsFile("metrics.jsonl", distill.TrainingStep)
HELDOUT_EVALUATIONS: Final = RowsFile("evals.jsonl", distill.HeldoutEvaluation)
HELDOUT_SCORES: Final = RowsFile("heldout_windows.jsonl", distill.HeldoutWindow)
PREFLIGHT: Final = JsonFile("preflight.json", distill.Preflight)
GREEDY_SAMPLE: Final = JsonFile("sample.json", distill.GreedySample)
FIRST_STEP: Final = ArraysFile("first_step.safetensors", ("index/", "gradient/", "after/"))
SMOKE_RUN: Final = JsonFile("smoke.json", distill.SmokeRun)
CUSTODY: Final = JsonFile("custody.json", Custody)
TRACE: Final = ArraysFile("trace.safetensors", ("weights", "first_moment", "second_moment"))

FIRST_STEP_AGAIN: Final = JsonFile("first_step.json", redo.FirstStep)
FIRST_STEP_TENSORS_AGAIN: Final = ArraysFile("first_step.safetensors", ("gradient/", "before/"))
BATCHES: Final = RowsFile("batches.jsonl", redo.BatchDigest)
SEGMENT_DRAW: Final = JsonFile("draw.json", redo.SegmentDraw)
SEGMENTS: Final = RowsFile("segments.jsonl", redo.RedoneSegment)
STEPS_AGAIN: Final = RowsFile("steps.jsonl", redo.RedoneStep)
TRACE_AGAIN: Final = ArraysFile("redone.safetensors", ("weights", "first_moment", "decays"))
RELEASED_LINK: Final = JsonFile("released.json", redo.ReleasedLink)
# What the same loop makes of text that the run never saw, laid out as the steps of the run.
FOREIGN_FIRST_STEP: Final = JsonFile("foreign_first_step.json", redo.FirstStep)
FOREIGN_FIRST_STEP_TENSORS: Final = ArraysFile("foreign_first_step.safetensors", FIRST_STEP_TENSORS_AGAIN.tensors)
FOREIGN_SEGMENTS: Final = RowsFile("foreign_segments.jsonl", redo.RedoneSegment)
FOREIGN_STEPS: Final = RowsFile("foreign_steps.jsonl", redo.RedoneStep)
FOREIGN_TRACE: Final = ArraysFile("foreign.safetensors", TRACE_AGAIN.tensors)
CURVE_AGAIN: Final = RowsFile("curve.jsonl", distill.HeldoutEvaluation)
HELDOUT_DISTANCES: Final = RowsFile("heldout.jsonl", redo.WindowDistance)

HELDOUT_SCORES_AGAIN: Final = RowsFile("heldout.jsonl", distill.WindowAgain)
TENSORS: Final = JsonFile("tensors.json", distill.TensorComparison)
# What the same audit says of files with one tensor perturbed, and of an init that was never trained.
PERTURBED_SCORES: Final = RowsFile("perturbed.jsonl", distill.WindowAgain)
UNTRAINED_TENSORS: Final = JsonFile("untrained.json", distill.TensorComparison)

SAMPLES: Final = RowsFile("samples.jsonl", humaneval.Sample)
RESULTS: Final = RowsFile("results.jsonl", humaneval.Result)
CANARIES: Final = RowsFile("canaries.jsonl", humaneval.Result)
PROMPTS: Final = RowsFile("prompts.jsonl", humaneval.Prompt)
EVALUATION_SUMMARY: Final = JsonFile("summary.json", humaneval.EvaluationSummary)
SAMPLED_SUMMARY: Final = JsonFile("summary.json", humaneval.SampledSummary)
BASELINE: Final = JsonFile("baseline.json", humaneval.Baseline)
PREVIOUS_SUMMARY: Final = JsonFile("summary.json", humaneval.PreviousSummary)
SEQUENTIAL_SUMMARY: Final = JsonFile("summary.json", humaneval.SequentialSummary)
DESIGN: Final = JsonFile("design.json", humaneval.SequentialDesign)
CALIBRATION: Final = JsonFile("calibration.json", humaneval.Calibration)
MODEL_CALLS: Final = RowsFile("model_calls.jsonl", humaneval.ModelCall)
EXPECTED_CALLS: Final = RowsFile("expected_calls.jsonl", humaneval.ExpectedCall)
REPLAY: Final = RowsFile("replay.jsonl", humaneval.Replayed)
REPLAY_DRAW: Final = JsonFile("draw.json", humaneval.ReplayDraw)
# What the instruments of a replay say of answers that are known: laid out as those of the run.
REPLAY_KNOWN_GOOD: Final = RowsFile("known_good.jsonl", humaneval.Replayed)
REPLAY_KNOWN_BAD: Final = RowsFile("known_bad.jsonl", humaneval.Replayed)

FORMAT_SCORES: Final = JsonFile("formats.json", humaneval.FormatScores)
FORMAT_ANSWERS: Final = RowsFile("answers.jsonl", humaneval.FormatAnswer)
FORMAT_ANSWERS_AGAIN: Final = RowsFile("again.jsonl", humaneval.AnswerAgain)

FAMILIARITY: Final = RowsFile("familiarity.jsonl", humaneval.Familiarity)
# What the same texts are to the student once it has been taught some of them.
FAMILIARITY_TAUGHT: Final = RowsFile("taught.jsonl", humaneval.Familiarity)

# Of a student that somebody else has trained.
SCORED_WINDOWS: Final = RowsFile("windows.jsonl", finished.ScoredWindow)
LINTED: Final = RowsFile("lint.jsonl", finished.LintFinding)
CLAIMED_RUN: Final = JsonFile("record.json", finished.ClaimedRun)
CLAIMED_STEPS: Final = RowsFile("steps.jsonl", finished.ClaimedStep)
SCORED_ITEMS: Final = RowsFile("items.jsonl", results.ScoredItem)
SCORED_RUNS: Final = RowsFile("runs.jsonl", results.ScoredRun)

MUTANTS: Final = RowsFile("mutants.jsonl", kill_matrix.Mutant)
MUTATED_FALSIFIERS: Final = RowsFile("falsifiers.jsonl", kill_matrix.MutatedFalsifier)

PLANTED_FAULTS: Final = RowsFile("faults.jsonl", drill.PlantedFault)
DRILL_SUMMARY: Final = JsonFile("drill.json", drill.DrillSummary)

# What refute finds out about itself, as it is and sabotaged.
WORLD_TEACHER: Final = Folder("teacher")
OBSERVATIONS: Final = RowsFile("observations.jsonl", dogfood.Observation)
SABOTAGED_BUILDS: Final = RowsFile("builds.jsonl", dogfood.SabotagedBuild)
PRINTED_SHAPES: Final = RowsFile("json_shapes.jsonl", dogfood.PrintedShape)

# What a hub is to hold, and what is said of each of its files.
RELEASED: Final = Folder("release")
MANIFEST: Final = RowsFile("manifest.jsonl", publication.StagedFile)
CARD_CLAIMS: Final = RowsFile("claims.jsonl", publication.CardClaim)
PUSHED: Final = JsonFile("pushed.json", publication.Pushed)
REMOTE_TREE: Final = RowsFile("tree.jsonl", publication.RemoteEntry)
REMOTE_REFS: Final = RowsFile("refs.jsonl", publication.RemoteRef)
PULLED: Final = RowsFile("pulled.jsonl", publication.PulledFile)
PUSH_FAULTS: Final = RowsFile("push_faults.jsonl", publication.RehearsedPush)
PULL_FAULTS: Final = RowsFile("pull_faults.jsonl", publication.RehearsedPull)
SIGNING: Final = JsonFile("signing.json", publication.Signing)
# What two generations of transformers make of the release; `faulted`: the older one of a folder with another rope base.
GENERATION_FACTS: Final = JsonFile("generations.json", publication.Generations)
GENERATION_LOGITS: Final = ArraysFile("logits.safetensors", ("older", "newer", "faulted"))
# What the hub's own client makes of the same: one upload without looking, one download without hashing.
PLAIN_PUSHES: Final = RowsFile("plain_pushes.jsonl", publication.RehearsedPush)
PLAIN_PULLS: Final = RowsFile("plain_pulls.jsonl", publication.RehearsedPull)
GGUF_FILES: Final = Folder("gguf")
EXPORTS: Final = JsonFile("exports.json", export.Exports)
CONVERSION: Final = JsonFile("conversion.json", export.Conversion)
QUANTISATION: Final = JsonFile("quantisation.json", export.Quantisations)
TOKENS: Final = JsonFile("tokens.json", export.Tokens)
TEMPLATES: Final = JsonFile("templates.json", export.Templates)
USAGE: Final = JsonFile("usage.json", export.Usage)


def results_of(kind: str) -> RowsFile[humaneval.Result]:
    """The verdicts on canned answers of one kind, or, for `loop`, on the one that never ends."""
    return RowsFile(f"results_{kind}.jsonl", humaneval.Result)


File = JsonFile[Any] | RowsFile[Any] | ArraysFile | Folder

_TRAINING: tuple[File, ...] = (
    *(TRAINING_SUMMARY, STEPS, HELDOUT_EVALUATIONS, HELDOUT_SCORES, PREFLIGHT, GREEDY_SAMPLE, FIRST_STEP),
    *(MODEL, MODEL_CONFIG, CUSTODY, TRACE),
)
_AUDIT: tuple[File, ...] = (HELDOUT_SCORES_AGAIN, TENSORS, PERTURBED_SCORES, UNTRAINED_TENSORS)
_REDO: tuple[File, ...] = (
    *(FIRST_STEP_AGAIN, FIRST_STEP_TENSORS_AGAIN, BATCHES, SEGMENT_DRAW, SEGMENTS, STEPS_AGAIN, TRACE_AGAIN),
    *(RELEASED_LINK, HELDOUT_DISTANCES, CURVE_AGAIN, FOREIGN_FIRST_STEP, FOREIGN_FIRST_STEP_TENSORS),
    *(FOREIGN_SEGMENTS, FOREIGN_STEPS, FOREIGN_TRACE),
)
_ANSWERS: tuple[File, ...] = (SAMPLES, RESULTS, PROMPTS, MODEL_CALLS)
_EVALUATION: tuple[File, ...] = (*_ANSWERS, CANARIES, EVALUATION_SUMMARY)
_CANNED = ("canonical", "empty", "always_equal", "system_exit", "os_exit", "near_miss", "loop")

FILES: Mapping[str, tuple[File, ...]] = MappingProxyType(
    {
        RELEASE: (JsonFile("release.json", Release),),
        TEACHER: (MODEL,),
        CORPUS: (CORPUS_MANIFEST, TRAIN_WINDOWS, HELDOUT_WINDOWS),
        CONTAMINATION: (OVERLAP,),
        CORPUS_AUDIT: (CORPUS_COUNTS, PLANTED_COUNTS),
        HELDOUT_PLACES: (PLACES, PLANTED_PLACES),
        INIT: (INIT_CHOICE, MODEL),
        INIT_REDO: (INIT_AGAIN,),
        LINEAGE: (IDENTITIES,),
        TEACHER_PROBE: (PROBE, PROBE_LOGITS, ROLLED, ROLLED_LOGITS),
        KD_MATH: (LOSS_CERTIFICATE, WRONG_CERTIFICATE),
        STUDENT: _TRAINING,
        STUDENT_AUDIT: _AUDIT,
        STUDENT_REDO: _REDO,
        STUDENT_OPENED: (MODEL,),
        STUDENT_LINT: (LINTED,),
        STUDENT_HELDOUT: (SCORED_WINDOWS,),
        TRAINING_RECORD: (CLAIMED_RUN, CLAIMED_STEPS),
        RESULTS_OF_OTHERS: (SCORED_ITEMS, SCORED_RUNS),
        CE_CONTROL: _TRAINING,
        CE_CONTROL_AUDIT: _AUDIT,
        CE_CONTROL_REDO: _REDO,
        HUMANEVAL_CALIBRATION: (CALIBRATION, *map(results_of, _CANNED)),
        HUMANEVAL_TEACHER: _EVALUATION,
        HUMANEVAL_INIT: _EVALUATION,
        HUMANEVAL_STUDENT: _EVALUATION,
        HUMANEVAL_SAMPLED: (*_ANSWERS, CANARIES, SAMPLED_SUMMARY),
        HUMANEVAL_SEQUENTIAL: (*_ANSWERS, DESIGN, SEQUENTIAL_SUMMARY),
        HUMANEVAL_NULL: _EVALUATION,
        HUMANEVAL_FORMATS: (FORMAT_SCORES, FORMAT_ANSWERS),
        FORMATS_AGAIN: (FORMAT_ANSWERS_AGAIN,),
        **dict.fromkeys(REPLAYS, (REPLAY, REPLAY_DRAW, REPLAY_KNOWN_GOOD, REPLAY_KNOWN_BAD, EXPECTED_CALLS)),
        MEMORISATION: (FAMILIARITY, FAMILIARITY_TAUGHT),
        KILL_MATRIX: (MUTANTS, MUTATED_FALSIFIERS),
        STAGED: (RELEASED, MANIFEST, CARD_CLAIMS),
        STAGED_LINT: (LINTED,),
        SIGNED: (SIGNING,),
        GENERATIONS: (GENERATION_FACTS, GENERATION_LOGITS),
        REHEARSAL: (
            *(PUSHED, REMOTE_TREE, REMOTE_REFS, PULLED),
            *(PUSH_FAULTS, PULL_FAULTS, PLAIN_PUSHES, PLAIN_PULLS),
        ),
        DRILL: (PLANTED_FAULTS, DRILL_SUMMARY),
        SMALL_WORLD: (WORLD_TEACHER,),
        DOGFOOD: (OBSERVATIONS, SABOTAGED_BUILDS, PRINTED_SHAPES),
        EXPORTED: (GGUF_FILES, EXPORTS),
        CONVERTED: (CONVERSION,),
        QUANTISED: (QUANTISATION,),
        TOKENISED: (TOKENS,),
        RENDERED: (TEMPLATES,),
        USED: (USAGE,),
    }
)
