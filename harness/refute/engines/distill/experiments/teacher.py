"""Experiments: who are teacher and init, does the provider tell the truth, is the loss right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from refute.engines.distill.certificate.cases import Claim
from refute.engines.distill.certificate.certify import certify
from refute.engines.distill.logs import write_json
from refute.engines.distill.loss.kd_loss import KdLoss, kd_loss
from refute.engines.distill.teacher.llama import open_llama_teacher
from refute.engines.distill.teacher.loaded import Teacher, load_teacher
from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.folder import save_whole
from refute.engines.model.forward.numpy_forward import Reference, open_weights
from refute.engines.model.forward.parity import compare_logits
from refute.engines.model.lineage import describe_model, first_difference
from refute.engines.model.server.llama_cpp import serve_in_llama_cpp
from refute.engines.model.tokenizer import open_tokenizer
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.distill import KEPT_POSITIONS, DequantiseConfig, LineageConfig, MathConfig, ProbeConfig
from refute.spec.experiments.evidence.distill import Lineage, Parity, TeacherProbe
from refute.spec.experiments.evidence_files import (
    IDENTITIES,
    LOSS_CERTIFICATE,
    PROBE,
    PROBE_LOGITS,
    ROLLED,
    ROLLED_LOGITS,
    WRONG_CERTIFICATE,
    ArraysFile,
    JsonFile,
)
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import GgufModel, HfModel


def lineage(job: Job) -> None:
    """Write lineage.json {teacher, init, first_token_difference: id or null} from the input that is compared.

    Raises MissingInputsError when either model is absent or not whole.
    """
    config = parse_config(LineageConfig, job)
    folder = job.inputs[config.compared].path("model")
    job.progress("identify", 0, 2)
    teacher, teacher_tokens = describe_model(config.teacher.model, Path(config.teacher.path))
    job.progress("identify", 1, 2, parameters=teacher.parameters)
    init, init_tokens = describe_model(HfModel(format="hf", path="model"), folder)
    job.progress("identify", 2, 2, parameters=init.parameters)
    difference = first_difference(teacher_tokens, init_tokens)
    found = Lineage(teacher=teacher, init=init, first_token_difference=difference)
    write_json(job.out / IDENTITIES.name, found.as_json())


def dequantise(job: Job) -> None:
    """Write the teacher of a GGUF file as a Hugging Face folder model/ in float32: the same numbers, quick to load.

    Raises what `load_teacher` raises.
    """
    config = parse_config(DequantiseConfig, job)
    job.progress("dequantise", 0, 1)
    teacher = load_teacher(config.teacher.model, Path(config.teacher.path), device="cpu")
    save_whole(teacher.model, teacher.tokenizer, job.out / "model")
    job.progress("dequantise", 1, 1, parameters=teacher.parameters)


def probe_teacher(job: Job) -> None:
    """Compare the provider's logits with the independent forward on held-out windows (inputs `corpus`).

    The provider is asked about the windows as they are trained on, the reference about the same texts as the model
    reads them by its own files: of a GGUF file llama.cpp says how texts begin, and has to read hundreds of texts as the
    corpus was read. So a corpus that was laid out wrong shows, as wrong weights do.

    Writes probe.safetensors {input_ids (W, L) int32, provider and reference (W, 8, V) float32, the last 8
    positions} and probe.json: `TeacherProbe`; and rolled.safetensors and rolled.json,
    the same of this very provider with one matrix rolled by a row, which must be seen to differ. Raises UsageError for
    an architecture without an independent forward, ExperimentError for too small a corpus, other widths, or a tokenizer
    that llama.cpp reads otherwise.
    """
    config = parse_config(ProbeConfig, job)
    torch.set_num_threads(config.threads)
    laid_out = _probe_ids(job, config)
    job.progress("read texts by the model's own files", 0, 1)
    meant = _as_documented(job, config, laid_out)
    reference = Reference(open_weights(Path(config.reference.path)))
    expected = []
    for index, ids in enumerate(meant):
        job.progress("independent forward", index, len(meant))
        expected.append(reference.logits(ids))
    job.progress("provider", 0, 2)
    # In float32, whatever the run uses: what is tested is where the logits come from, not how they are rounded.
    teacher = load_teacher(config.teacher.model, Path(config.teacher.path), device=config.device)
    ids = (laid_out, meant)
    probe = _write_probe(job, config, teacher, ids, np.stack(expected), (PROBE_LOGITS, PROBE))
    job.progress("provider", 1, 2, max_abs=probe.max_abs)
    with torch.no_grad():
        matrix = next(each for each in reversed(list(teacher.model.parameters())) if each.ndim == 2)
        matrix.copy_(matrix.roll(1, dims=0))
    _write_probe(job, config, teacher, ids, np.stack(expected), (ROLLED_LOGITS, ROLLED))
    job.progress("provider", 2, 2)


def _write_probe(
    job: Job,
    config: ProbeConfig,
    teacher: Teacher,
    ids: tuple[NDArray[np.int32], NDArray[np.int32]],
    expected: NDArray[np.float64],
    files: tuple[ArraysFile, JsonFile[TeacherProbe]],
) -> TeacherProbe:
    """What `teacher` says of the first of `ids`, against what is `expected` of the second, over their common text."""
    laid_out, meant = ids
    common = min(laid_out.shape[1], meant.shape[1])
    provided, again = (teacher.logits(torch.from_numpy(laid_out)).cpu().numpy()[:, -common:] for _ in range(2))
    expected = expected[:, -common:]
    arrays, summary = files
    save_file(
        {
            "input_ids": np.ascontiguousarray(laid_out[:, -common:]),
            "provider": np.ascontiguousarray(provided[:, -KEPT_POSITIONS:]),
            "reference": expected[:, -KEPT_POSITIONS:].astype(np.float32),
        },
        job.out / arrays.name,
    )
    probe = TeacherProbe(
        **dict(compare_logits(provided, expected)),
        second_forward_max_abs=float(np.abs(provided - again).max()),
        vocab_rows=teacher.vocab_rows,
        provider_device=str(teacher.device),
        backend=f"transformers, from {config.reference.model.format}",
        reference="numpy float64, straight from the model file",
        loss=_loss(provided, laid_out[:, -common:]),
        documented_loss=_loss(expected, meant[:, -common:]),
        native=_native_parity(config, meant, expected) if summary is PROBE else None,
    )
    write_json(job.out / summary.name, probe.as_json())
    return probe


def _native_parity(config: ProbeConfig, input_ids: NDArray[np.int32], expected: NDArray[np.float64]) -> Parity | None:
    """How far llama.cpp's quantised arithmetic is from the reference, where a run learns from it."""
    model = config.reference.model
    if not isinstance(model, GgufModel) or model.runtime != "llama.cpp":
        return None
    path, context = Path(config.reference.path), input_ids.shape[1]
    native = open_llama_teacher(model, path, context=context, threads=config.threads, device="cpu")
    return compare_logits(native.logits(torch.from_numpy(input_ids)).numpy()[:, -expected.shape[1] :], expected)


def _loss(logits: NDArray[Any], ids: NDArray[np.int32]) -> float:
    """Mean cross-entropy of `logits` (W, L, V) with the ids (W, L) that follow, in nat per token."""
    scores, labels = torch.from_numpy(logits[:, :-1]).double().flatten(0, 1), torch.from_numpy(ids[:, 1:]).long()
    return functional.cross_entropy(scores, labels.flatten()).item()


def _as_documented(job: Job, config: ProbeConfig, laid_out: NDArray[np.int32]) -> NDArray[np.int32]:
    """The texts of `laid_out` (windows, tokens) behind the beginning that the model's own files state."""
    manifest = json.loads(job.inputs["corpus"].path("manifest.json").read_text(encoding="utf-8"))
    texts = laid_out[:, 0 if manifest["beginning_of_sequence"] is None else 1 :]
    begin = np.array([_documented_beginning(config)] * len(texts), dtype=np.int32).reshape(len(texts), -1)
    return np.concatenate([begin, texts], axis=1)


def _documented_beginning(config: ProbeConfig) -> list[int]:
    model, path = config.reference.model, Path(config.reference.path)
    tokenizer = open_tokenizer(model, path)
    if not isinstance(model, GgufModel):
        begin = beginning_of_sequence(tokenizer)
        return [] if begin is None else [begin]
    with serve_in_llama_cpp(path, context=config.tokens, threads=config.threads) as llama:
        llama.refuse_other_reading(tokenizer, path)
        return llama.beginning()


def check_kd_math(job: Job) -> None:
    """Write math.json: the `LossCertificate` of `kd_loss` on the device, dtype and divergence of a release.

    Beside it wrong.json, by the same means: that of a loss which is half as much again, and must be seen to be wrong.
    """
    config = parse_config(MathConfig, job)
    torch.set_num_threads(config.threads)
    job.progress("certify", 0, 1)
    right, wrong = (
        certify(Claim(loss, config.divergence, config.beta), device=config.device, dtype=config.dtype)
        for loss in (kd_loss, _half_as_much_again)
    )
    job.progress("certify", 1, 1)
    write_json(job.out / LOSS_CERTIFICATE.name, right.as_json())
    write_json(job.out / WRONG_CERTIFICATE.name, wrong.as_json())


def _half_as_much_again(*tensors: Any, **settings: Any) -> KdLoss:
    found = kd_loss(*tensors, **settings)
    return replace(found, total=1.5 * found.total)


def _probe_ids(job: Job, config: ProbeConfig) -> NDArray[np.int32]:
    """Ids (windows, tokens), int32, from the corpus."""
    file = job.inputs["corpus"].path("heldout.safetensors")
    tokens = load_file(file).get("tokens")
    if tokens is None or tokens.ndim != 2:
        raise ExperimentError(f"{file} holds no tensor `tokens` (windows, seq_len)")
    if tokens.shape[0] < config.windows or tokens.shape[1] < config.tokens:
        raise ExperimentError(
            f"the probe needs {config.windows} held-out windows of {config.tokens} tokens, found {tokens.shape}",
            hint="raise corpus.heldout_tokens or training.seq_len",
        )
    return np.ascontiguousarray(tokens[: config.windows, : config.tokens].astype(np.int32))
