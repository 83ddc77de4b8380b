"""Does the release work where strangers will use it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refute.engines.export.gguf.vocabulary import end_ids
from refute.engines.export.usage.environment import HOSTS, ask_stranger, fresh_python
from refute.engines.export.usage.snippets import label_of, try_snippets
from refute.engines.model.forward.numpy_forward import Reference, open_weights
from refute.engines.model.generations.older_transformers import older_python
from refute.engines.model.tokenizer import read_tokenizer
from refute.job import Job
from refute.spec.experiments.evidence.export import Usage, UsedPath
from refute.spec.experiments.evidence_files import RELEASED, STAGED, USAGE
from refute.spec.experiments.export import UsageConfig
from refute.spec.experiments.parsing import parse_config

PROMPT = "The first thing that you should do is"
TOKENS = 32


@dataclass(frozen=True, slots=True)
class _Path:
    """One way to use the release: who reads which file, in which interpreter."""

    name: str
    engine: str
    python: Path
    file: Path


def try_paths(job: Job) -> None:
    """Write usage.json: the `Usage` of the folder, of every GGUF file and of the card, each engine in a fresh process.

    Raises ExperimentError for a process that gives no answer, MissingInputsError where the older transformers cannot
    be installed.
    """
    config = parse_config(UsageConfig, job)
    folder = job.inputs[STAGED].path(RELEASED.name)
    tokenizer: Any = read_tokenizer(folder, gguf=False)
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    ends = end_ids(tokenizer, folder)
    fresh, older = fresh_python(job.scratch / "fresh"), older_python()
    judged = Reference(open_weights(folder))
    ways = list(_ways(folder, fresh, older))
    used = []
    for done, way in enumerate(ways, start=1):
        request = {
            "engine": way.engine,
            "path": str(way.file),
            "prompt": prompt,
            "tokens": TOKENS,
            "ends": ends,
            "threads": config.threads,
            "hosts": HOSTS,
        }
        said = ask_stranger(way.python, request, job.scratch / "stranger")
        behind = logits_behind(judged, prompt, said["ids"], ends) if said["failed"] is None else ()
        used.append(UsedPath(path=way.name, file=way.file.name, prompt=tuple(prompt), behind=behind, **_strict(said)))
        job.progress("use", done, len(ways))
    snippets = try_snippets(folder, config.name, {"transformers": fresh, "older transformers": older}, job.scratch)
    USAGE.write(job.out, Usage(paths=tuple(used), snippets=snippets, not_run=_not_run(config.name, folder)))


def _ways(folder: Path, fresh: Path, older: Path) -> Iterator[_Path]:
    yield _Path("refute", "refute", fresh, folder)
    yield _Path("transformers", "transformers", fresh, folder)
    yield _Path("older transformers", "transformers", older, folder)
    for file in sorted(folder.glob("*.gguf")):
        yield _Path(f"llama.cpp {label_of(file)}", "llama.cpp", fresh, file)


def logits_behind(
    judged: Reference, prompt: Sequence[int], ids: Sequence[int], ends: Sequence[int]
) -> tuple[float, ...]:
    """By how many logits another token is likelier than each of `ids`, and than the end where they end early.

    Two engines round differently, so near a tie each may go on in its own way: what one says is held against what the
    judged folder finds after that engine's own beginning, and not against another one's text.
    """
    stopped = len(ids) < TOKENS and not (ids and ids[-1] in ends)
    logits = judged.logits(np.array([*prompt, *ids]))[len(prompt) - 1 :]
    best = logits.max(axis=-1)
    behind = [float(best[place] - logits[place, said]) for place, said in enumerate(ids)]
    if stopped:
        behind.append(float(best[-1] - (logits[-1, list(ends)].max() if ends else logits[-1].min())))
    return tuple(behind)


def _strict(said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "ids": tuple(said["ids"]), "reached": tuple(said["reached"])}


def _not_run(name: str, folder: Path) -> dict[str, str]:
    """Commands of programs that are not here, as the hub would print them."""
    files = sorted(folder.glob("*.gguf"))
    return {
        "vllm": f"vllm serve {name}",
        **({"ollama": f"ollama run hf.co/{name}:{label_of(files[-1])}"} if files else {}),
    }
