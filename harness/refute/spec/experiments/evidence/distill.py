"""What the distillation engine writes. Losses and divergences are in nat per token."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from refute.spec.experiments.evidence.base import EvidenceModel, Several
from refute.spec.experiments.training import Training
from refute.spec.fields import Sha256

# ------------------------------------------------------------------------------------------------ corpus


class CorpusFile(EvidenceModel):
    """A file that windows were cut from; `tokens` counts its end-of-document id."""

    path: str
    sha256: Sha256
    split: Literal["train", "heldout"]
    tokens: int


class DroppedFiles(EvidenceModel):
    """Files that were read and not used, by reason."""

    contaminated: Several[str]
    duplicates: Several[str]
    undecodable: Several[str]


class BenchmarkSelfcheck(EvidenceModel):
    """How many of the benchmark's own problems the decontamination filter rejects: all, if it works."""

    problems: int
    rejected: int


class CorpusManifest(EvidenceModel):
    """`*_sha256` are of a split's windows, as int32; `shared_windows` are in both splits.

    `beginning_of_sequence` is the id that every window begins with, None where the model reads none; `heldout_files`
    are those that held-out windows were cut from, the last one where there are several.
    """

    files: Several[CorpusFile]
    dropped: DroppedFiles
    benchmark_selfcheck: BenchmarkSelfcheck
    ngram: int
    shared_windows: int
    train_windows_left_out: int
    seq_len: int
    python_version: str
    tokenizer_sha256: Sha256
    end_of_document: int
    beginning_of_sequence: int | None = None
    train_tokens: int
    train_sha256: Sha256
    heldout_tokens: int
    heldout_sha256: Sha256
    heldout_files: Several[str] = ()


class NgramOverlap(EvidenceModel):
    """`contaminated`: how many n-grams a text shares with a problem, by the problem's place in its file."""

    documents: int
    ngrams: int
    contaminated: dict[str, int]


class RenamedOverlap(EvidenceModel):
    """Runs of `ngram` tokens that solutions share with a text whatever the names in it are.

    `problems`: the solutions long enough to be found, and one more that is no problem's, so that there is one. `corpus`
    and `benchmark` as in `Contamination`, but every name and number of the benchmark was exchanged first.
    """

    ngram: int
    problems: int
    corpus: NgramOverlap
    benchmark: NgramOverlap


class Contamination(EvidenceModel):
    """The benchmark's n-grams in the tokens that are trained on, and in the benchmark itself: the positive control."""

    ngram: int
    problems: int
    corpus: NgramOverlap
    benchmark: NgramOverlap
    renamed: RenamedOverlap


class CorpusAudit(EvidenceModel):
    """Counts of files and windows that are not what the manifest says.

    `misplaced_windows` do not stand where the files, or for held-out ones their hashes, put them. `known_windows` are
    those of the `heldout_windows` that are covered by long runs of tokens that were trained on.
    """

    files: int
    changed_files: int
    contaminated_files: int
    windows: int
    foreign_windows: int
    heldout_windows: int
    misplaced_windows: int
    known_windows: int


# ------------------------------------------------------------------------------------------------ teacher and init


class LayerChoice(EvidenceModel):
    """Layers of the teacher that an init might be made of, and its loss on the probe windows."""

    layers: Several[int]
    loss: float


class InitChoice(EvidenceModel):
    """How an init was made. `chosen` is None where it was taken as it is; losses are on the probe windows."""

    method: str
    candidates: Several[LayerChoice]
    chosen: Several[int] | None
    teacher_loss: float
    init_loss: float
    parameters_teacher: int
    parameters_init: int
    probe_windows: int
    skip_windows: int


class ModelSize(EvidenceModel):
    """How large a model is, once it is read. Tied weights count once."""

    parameters: int
    layers: int


class InitAgain(EvidenceModel):
    """An init compared with its source, and every choice of layers measured again on the same probe windows.

    `foreign_tensors` are those that are not the source's to the last bit; there are no candidates where the init was
    taken as it is. Losses are in nat per predicted token.
    """

    teacher: ModelSize
    init: ModelSize
    tensors: int
    foreign_tensors: int
    candidates: Several[LayerChoice]
    teacher_loss: float
    init_loss: float
    probe_windows: int
    skip_windows: int


class ModelIdentity(EvidenceModel):
    """What a model is made of. Digests are SHA-256 in hex; `tokens` counts ids, `vocab_rows` rows of logits.

    `sha256` is of the weights as stored, so one model in two formats has two of them: equal digests prove
    that two models are the same, different ones do not prove that they differ. Tied weights count once. Of
    `special_tokens`, a None says that the files name none: GGUF and Hugging Face files of one model differ in it.
    """

    sha256: Sha256
    parameters: int
    vocab_rows: int
    hidden_size: int
    layers: int
    tokens: int
    tokens_sha256: Sha256
    merges_sha256: Sha256
    special_tokens: dict[str, int | None]
    chat_template_sha256: Sha256 | None


class Lineage(EvidenceModel):
    """Teacher and init; the first id at which their token lists differ, None where they do not."""

    teacher: ModelIdentity
    init: ModelIdentity
    first_token_difference: int | None


class Parity(EvidenceModel):
    """Two sets of logits compared over all positions. `kl_nats` is the mean KL(reference || provider) a position.

    `max_abs` is the largest difference of two logits, `top1_agreement` the share of positions with the same
    most likely token, `cosine_min` the smallest cosine of two logit vectors.
    """

    max_abs: float
    top1_agreement: float
    kl_nats: float
    cosine_min: float
    positions: int


class TeacherProbe(Parity):
    """The teacher's logits against an independent forward; `native` is of llama.cpp's quantised arithmetic.

    `loss` is the teacher's on the windows as they are trained on, `documented_loss` the reference's on the same texts
    as the model reads them by its own files, in nat per token.
    """

    loss: float
    documented_loss: float
    second_forward_max_abs: float
    vocab_rows: int
    provider_device: str
    backend: str
    reference: str
    native: Parity | None


class LossFigures(EvidenceModel):
    """Figures of one loss; each is documented at the function that measures it. Nat, ratios and counts.

    Zero is perfect for all but these: `min_kl` must not be below 0, `reverse_kl`, of sides exchanged, is 1.0021042
    beside a forward 1.1018681, `one_step_distance_drop` must be above 0, `ten_step_ratio` below 1.
    """

    value_abs_error: float
    gradient_rel_error: float
    near_converged_gradient_rel_error: float
    kldiv_abs_error: float
    finite_difference_ratio: float
    self_kl: float
    self_gradient_max: float
    min_kl: float
    ce_only_value_difference: float
    ce_only_gradient_difference: float
    kd_only_ce_gradient: float
    direction_abs_error: float
    reverse_kl: float
    shift_invariance: float
    vocabulary_padding_difference: float
    split_difference: float
    chunk_difference: float
    monotone_divergence_violations: int
    one_step_distance_drop: float
    ten_step_ratio: float
    ten_step_rises: int
    fixture_argmax_errors: int
    device_gradient_error: float


class LossCertificate(LossFigures):
    """The figures, and where they were measured."""

    device: str
    dtype: str
    divergence: str
    beta: float | None


class TrainingStep(EvidenceModel):
    """One optimiser step: losses per supervised token, `kl` the run's divergence at its temperature, None without KD.

    `lr` is the rate that the optimiser had, `tokens` are supervised. `batch_sha256` is of the ids and labels that the
    first rank's model was given. `attempt` is drawn by each process that begins the run or goes on with it.
    """

    step: int
    lr: float
    total: float
    ce: float
    kl: float | None
    grad_norm: float
    tokens: int
    batch_sha256: Sha256
    attempt: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    tokens_per_s: float
    wall_s: float


class HeldoutEvaluation(EvidenceModel):
    """Means over the held-out tokens after `step`; distances are None where no teacher was asked."""

    step: int
    heldout_ce: float
    heldout_kl: float | None
    probe_cosine: float | None
    windows: int


class HeldoutWindow(EvidenceModel):
    """One held-out window: CE before the first step and of the released model, its KL from the teacher."""

    window: int
    ce_initial: float
    ce: float
    kl: float | None


class Preflight(EvidenceModel):
    """What was found before the first step. Bytes are lower bounds: what certainly is needed, without activations."""

    student_parameters: int
    teacher_parameters: int | None
    memory_needed: int
    memory_available: int
    disk_needed: int
    disk_free: int
    windows: int
    steps: int
    tokens_per_step: int
    tokens: int
    epochs: float
    tokens_per_parameter: float
    teacher_rows: int | None
    student_rows: int
    dropped_mass: float | None
    loss: float
    reference_loss: float
    forced_without_smoke: bool


class GreedySample(EvidenceModel):
    """The student's own continuation of a prompt, the most likely token each time."""

    prompt: str
    text: str
    new_tokens: int
    greedy: bool


class TrainingSummary(EvidenceModel):
    """What ran, from the objects that ran it. `model_step` is the step whose weights were released."""

    steps: int
    supervised_tokens: int
    initial_heldout_ce: float
    final_heldout_ce: float
    initial_heldout_kl: float | None
    final_heldout_kl: float | None
    initial_probe_cosine: float | None
    final_probe_cosine: float | None
    best_heldout_ce: float
    best_step: int
    eval_windows: int
    parameters: int
    tensors: int
    changed_tensors: int
    teacher_sha256: Sha256 | None
    wall_s: float
    tokens_per_s: float
    device: str
    dtype: str
    torch_version: str
    threads: int
    ranks: int
    seed: int
    effective_config: Training
    identity: dict[str, Any]
    model_step: int
    dropped_mass: float | None


class SmokeRun(EvidenceModel):
    """So many steps of the run with this identity, and how long all of them would take."""

    identity: dict[str, Any]
    steps: int
    seconds: float
    projected_hours: float
    last: TrainingStep | None


class ModelConfig(BaseModel):
    """Of a model's config.json, which is transformers' own, what a report shows."""

    model_config = ConfigDict(strict=True, frozen=True)

    model_type: str | None = None
    num_hidden_layers: int | None = None
    hidden_size: int | None = None
    vocab_size: int | None = None


class WindowAgain(EvidenceModel):
    """Losses of a held-out window, from the files of init and student."""

    window: int
    ce_initial: float
    ce: float


class TensorComparison(EvidenceModel):
    """Tensors of the released files, and how many of them are the init's to the last bit."""

    tensors: int
    unchanged: int
