"""`refute distill init`: a student cut out of its teacher, without a release around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refute.cli.arguments import reading_what_was_named
from refute.cli.console import progress
from refute.disk import working_in, write_whole
from refute.errors import UsageError
from refute.job import Inputs, Job


@dataclass(frozen=True, slots=True)
class Cut:
    """What is asked for: `layers` of the teacher's, chosen on the last `windows` held-out windows of `seq_len` ids.

    The last ones, since a run is evaluated on the first.
    """

    teacher: Path
    corpus: Path
    out: Path
    layers: int
    seq_len: int
    windows: int
    device: str
    threads: int


def run_init(wanted: Cut) -> dict[str, Any]:
    """Cut the init, measure every choice of layers, and return what choice.json holds; the model is in out/model.

    Raises UsageError for a folder that holds one already or a corpus with too few windows.
    """
    from refute.engines.distill.data.tokenize import model_at
    from refute.engines.distill.experiments.init import build_init
    from refute.spec.experiments.distill import InitConfig, TeacherPlace
    from refute.spec.experiments.evidence_files import INIT_CHOICE
    from refute.spec.release import DepthPruned

    if (wanted.out / "model").exists():
        raise UsageError(f"{wanted.out} holds an init already", hint="name another folder with --out")
    work = wanted.out / "work"
    with reading_what_was_named(), working_in(wanted.out), progress() as report:
        work.mkdir(parents=True, exist_ok=True)
        _keep_windows(wanted, work)
        config = InitConfig(
            init=DepthPruned(method="depth_prune", keep_layers=wanted.layers, probe_windows=wanted.windows),
            teacher=TeacherPlace(model=model_at(wanted.teacher), path=str(wanted.teacher)),
            init_path=None,
            probe_windows=wanted.windows,
            skip_windows=0,
            device="cuda" if wanted.device == "cuda" else "cpu",
            threads=wanted.threads,
        )
        inputs = {"corpus": Inputs("corpus", work)}
        build_init(Job("init", config.model_dump_json(), inputs, wanted.out, work, report))
    chosen: dict[str, Any] = json.loads((wanted.out / INIT_CHOICE.name).read_text(encoding="utf-8"))
    return chosen


def _keep_windows(wanted: Cut, folder: Path) -> None:
    from safetensors.torch import save

    from refute.engines.distill.data.packing import READ_ONLY
    from refute.engines.distill.data.shards import Manifest, ShardWindows
    from refute.spec.experiments.evidence_files import HELDOUT_WINDOWS

    heldout = ShardWindows(wanted.corpus, Manifest.load(wanted.corpus), "heldout", wanted.seq_len)
    if len(heldout) < wanted.windows:
        raise UsageError(
            f"{wanted.corpus} holds {len(heldout)} held-out windows of {wanted.seq_len} ids, "
            f"{wanted.windows} are needed",
            hint="tokenise with a larger --heldout-share, or lower --windows or --seq-len",
        )
    tokens = heldout[list(range(len(heldout) - wanted.windows, len(heldout)))] & (READ_ONLY - 1)
    write_whole(folder / HELDOUT_WINDOWS.name, save({"tokens": tokens.int()}))


def show_choice(choice: Mapping[str, Any], out: Path) -> str:
    """Which layers were chosen, and what the cut costs before any healing."""
    return (
        f"layers {choice['chosen']} of {len(choice['candidates'])} choices\n"
        f"held-out CE {choice['teacher_loss']:.4f} -> {choice['init_loss']:.4f} nat/token\n"
        f"parameters {choice['parameters_teacher']} -> {choice['parameters_init']}\nmodel: {out / 'model'}"
    )
