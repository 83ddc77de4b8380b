"""Makes the student's initial checkpoint: cut out of the teacher by held-out loss, or taken as it is."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import PreTrainedModel

from refute.engines.distill.data.dataset import load_windows
from refute.engines.distill.experiments.pruning import candidate_subsets, keep_layers
from refute.engines.distill.logs import write_json
from refute.engines.distill.teacher.loaded import Teacher, load_teacher
from refute.engines.model.folder import copy_model, count_parameters, load_model, save_whole
from refute.engines.model.generations.portable import drop_identity, make_portable
from refute.errors import ExperimentError, NonFiniteError
from refute.job import Job
from refute.spec.experiments.distill import InitConfig
from refute.spec.experiments.evidence.distill import InitChoice, LayerChoice
from refute.spec.experiments.evidence_files import INIT_CHOICE
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import DepthPruned, HfModel, Loaded


def build_init(job: Job) -> None:
    """Writes out/model/ (a Hugging Face folder, float32 when cut or dequantised) and out/choice.json.

    The folder reads the same in both generations of transformers, and its template claims no name and no maker.
    choice.json: method, candidates [{layers, loss}], chosen (layer indices of the teacher, null when loaded),
    teacher_loss and init_loss in nat per predicted token on the probe windows, parameters of both.
    """
    config = parse_config(InitConfig, job)
    torch.set_num_threads(config.threads)
    teacher = load_teacher(config.teacher.model, Path(config.teacher.path), device=config.device)
    windows = _probe_windows(job, config, teacher.vocab_rows)
    candidates: list[tuple[tuple[int, ...], float]] = []
    chosen = None
    if isinstance(config.init, DepthPruned):
        candidates = _measure_candidates(job, config.init, teacher, windows)
        chosen = min(candidates, key=lambda candidate: (candidate[1], candidate[0]))[0]
        student = keep_layers(teacher.model, chosen)
        save_whole(student, teacher.tokenizer, job.out / "model")
    else:
        _take(config, config.init, job.out / "model")
    saved = load_model(job.out / "model", device=config.device)
    # What the student's folder will be, and what it is asked with: the judged files are the released ones.
    make_portable(job.out / "model")
    drop_identity(job.out / "model")
    choice = InitChoice(
        method=config.init.method,
        candidates=tuple(LayerChoice(layers=layers, loss=loss) for layers, loss in candidates),
        chosen=chosen,
        teacher_loss=mean_loss(teacher.model, windows),
        init_loss=mean_loss(saved, windows),
        parameters_teacher=teacher.parameters,
        parameters_init=count_parameters(saved),
        probe_windows=len(windows),
        skip_windows=config.skip_windows,
    )
    write_json(job.out / INIT_CHOICE.name, choice.as_json())


@torch.inference_mode()
def mean_loss(model: PreTrainedModel, windows: torch.Tensor) -> float:
    """Cross-entropy in nat per predicted token, over all windows (each predicts seq_len - 1 tokens).

    Raises NonFiniteError when it is not a number: such a model can neither teach nor be compared.
    """
    losses = []
    for window in windows.to(model.device):
        logits = model(input_ids=window[None, :-1], use_cache=False).logits[0].float()
        losses.append(torch.nn.functional.cross_entropy(logits, window[1:]).item())
    mean = sum(losses) / len(losses)
    if not math.isfinite(mean):
        raise NonFiniteError(f"the held-out loss of a {type(model).__name__} is {mean}, expected a finite number")
    return mean


def _probe_windows(job: Job, config: InitConfig, vocab_size: int) -> torch.Tensor:
    windows = load_windows(job.inputs["corpus"].path("heldout.safetensors"), vocab_size=vocab_size)
    needed = config.skip_windows + config.probe_windows
    if len(windows) < needed:
        raise ExperimentError(
            f"the corpus has {len(windows)} held-out windows; {config.skip_windows} for evaluation and "
            f"{config.probe_windows} for choosing the init's layers need {needed}",
            hint="raise corpus.heldout_tokens, or lower training.eval_windows or init.probe_windows",
        )
    return windows[config.skip_windows : needed]


def _measure_candidates(
    job: Job, init: DepthPruned, teacher: Teacher, windows: torch.Tensor
) -> list[tuple[tuple[int, ...], float]]:
    subsets = candidate_subsets(teacher.model.config.num_hidden_layers, init.keep_layers)
    measured = []
    for done, subset in enumerate(subsets, start=1):
        loss = mean_loss(keep_layers(teacher.model, subset), windows)
        measured.append((subset, loss))
        job.progress("choose layers", done, len(subsets), loss=loss)
    return measured


def _take(config: InitConfig, init: Loaded, folder: Path) -> None:
    if config.init_path is None:
        raise ExperimentError("init: method `load` needs init_path, found none")
    path = Path(config.init_path)
    if isinstance(init.model, HfModel):
        copy_model(path, folder)
        return
    loaded = load_teacher(init.model, path, device=config.device)
    save_whole(loaded.model, loaded.tokenizer, folder)
