"""Experiment: what two generations of transformers make of one released folder, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from refute.engines.model.generations.older_transformers import older_python
from refute.engines.model.generations.portable import CONFIG
from refute.engines.model.probe_texts import PROBE_TEXTS
from refute.errors import ExperimentError
from refute.isolation.environment import clean_environment
from refute.job import Job
from refute.spec.experiments.evidence.publication import Compared, Generations
from refute.spec.experiments.evidence_files import GENERATION_FACTS, GENERATION_LOGITS, STAGED
from refute.spec.experiments.evidence_files import RELEASED as RELEASE_FOLDER
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.publication import GenerationsConfig

_STRANGER = Path(__file__).with_name("stranger.py")
_SEQUENCES, _ANSWERS = 3, 3
_POSITIONS = 4  # of each sequence, the last ones
_LONGEST = 256
_PATIENCE_S = 900
CONVERSATIONS = (
    [{"role": "user", "content": "What is 2 + 2?"}],
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "def f(n):\n    return n"},
        {"role": "assistant", "content": "It returns `n`."},
        {"role": "user", "content": "Größe 北京 1234"},
    ],
)
# Of one folder, the spelling that the older generation reads says another rope base: this must be seen to differ.
RELEASED, FAULTED = "released", "faulted"


@dataclass(frozen=True, slots=True)
class Answers:
    """What one generation said: its version and, by folder, its answer and its logits where it could open it."""

    version: str
    folders: Mapping[str, Mapping[str, Any]]
    logits: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]


def try_both_generations(job: Job) -> None:
    """Open the folder `release/` of input `staged` with transformers 4.57 and the installed one, offline.

    Writes generations.json, how many of PROBE_TEXTS have other ids, of CONVERSATIONS another prompt and of all answers
    were given once, and logits.safetensors: `older` and `newer` (sequences, positions, V) float32 of the same ids, and
    `faulted`, the older one's of a folder whose older spelling names another rope base. Raises MissingInputsError where
    the older environment cannot be made.
    """
    config = parse_config(GenerationsConfig, job)
    folder = job.inputs[STAGED].path(RELEASE_FOLDER.name)
    job.progress("older transformers", 0, 3)
    older_interpreter = older_python()
    faulted = _faulted(folder, job.scratch / FAULTED)
    request = make_request({RELEASED: folder, FAULTED: faulted}, threads=config.threads)
    job.progress("older transformers", 1, 3)
    older = ask(older_interpreter, request, job.scratch / "older")
    job.progress("installed transformers", 2, 3)
    newer = ask(Path(sys.executable), {**request, "folders": {RELEASED: str(folder)}}, job.scratch / "newer")
    arrays = {"older": older.logits.get(RELEASED), "newer": newer.logits.get(RELEASED)}
    arrays["faulted"] = older.logits.get(FAULTED)
    save_file({name: each for name, each in arrays.items() if each is not None}, job.out / GENERATION_LOGITS.name)
    _write(job.out / GENERATION_FACTS.name, compared(older, newer).as_json())
    job.progress("installed transformers", 3, 3)


def compared(older: Answers, newer: Answers) -> Generations:
    """Of the released folder: errors, how many texts and conversations two generations read otherwise, and how many
    answers one of them gave once."""
    both = {each.version: each.folders[RELEASED] for each in (older, newer)}
    errors = tuple(f"{version}: {said['error']}" for version, said in both.items() if said["error"] is not None)
    opened = [said for said in both.values() if said["error"] is None]
    answers = Compared(n=len(opened) * _ANSWERS * _SEQUENCES, differing=sum(int(said["unrepeated"]) for said in opened))
    counts = {"answers": answers}
    for name in ("ids", "rendered"):
        pairs = [] if errors else list(zip(older.folders[RELEASED][name], newer.folders[RELEASED][name], strict=True))
        counts[name] = Compared(n=len(pairs), differing=sum(one != other for one, other in pairs))
    return Generations(older=older.version, newer=newer.version, errors=errors, **counts)


def make_request(folders: Mapping[str, Path], *, threads: int) -> dict[str, Any]:
    """What a stranger's program is asked about `folders`, which hold one model."""
    from refute.engines.model.tokenizer import read_tokenizer  # transformers is slow to import

    first = next(iter(folders.values()))
    tokenizer: Any = read_tokenizer(first, gguf=False)
    config = json.loads((first / CONFIG).read_text(encoding="utf-8"))
    texts = list(PROBE_TEXTS)
    whole = tokenizer("\n".join(texts), add_special_tokens=False)["input_ids"]
    length = min(_LONGEST, len(whole), int(config.get("max_position_embeddings") or _LONGEST))
    sequences = [whole[:length], whole[-length:], whole[: max(length // 4, _POSITIONS)]]
    return {
        "folders": {name: str(folder) for name, folder in folders.items()},
        "texts": [*texts, *tokenizer.get_added_vocab()],
        "conversations": list(CONVERSATIONS),
        "sequences": sequences,
        "answers": _ANSWERS,
        "positions": _POSITIONS,
        "threads": threads,
    }


def ask(python: Path, request: Mapping[str, Any], scratch: Path) -> Answers:
    """The answer of a stranger's program in that interpreter: nothing of the user's, no cache, no network.

    Raises ExperimentError where it ends without one.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    question, answer = scratch / "request.json", scratch / "answer.json"
    _write(question, request)
    own = {"HF_HOME": str(scratch / "hub"), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "USE_TF": "0"}
    command = [str(python), "-I", str(_STRANGER), str(question), str(answer)]
    done = _run(command, {**clean_environment(os.environ, own=False), **own})
    if not answer.is_file():
        raise ExperimentError(f"{python} ended in {done.returncode} without an answer: {done.stderr[-600:]}")
    said = json.loads(answer.read_text(encoding="utf-8"))
    logits = {name: np.load(scratch / f"{name}.npy") for name, each in said["folders"].items() if not each["error"]}
    return Answers(said["version"], said["folders"], logits)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # fixed argv, no shell
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S, env=dict(environment)
        )
    except subprocess.TimeoutExpired as error:
        raise ExperimentError(f"{command[0]} gave no answer in {_PATIENCE_S} s") from error


def _faulted(folder: Path, copy: Path) -> Path:
    """The folder by links, but for a config whose older spelling names ten times the rope base."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name != CONFIG and path.is_file():
            (copy / path.name).symlink_to(path.resolve())
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    base = config.get("rope_theta", config.get("rope_parameters", {}).get("rope_theta", 10_000.0))
    _write(copy / CONFIG, {**config, "rope_theta": 10.0 * base})
    return copy


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
