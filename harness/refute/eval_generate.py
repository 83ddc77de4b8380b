"""`refute eval humaneval`: let a model answer, then execute the answers."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refute.attest import model_digest
from refute.console import progress, signals
from refute.errors import MissingInputsError, StoppedError, UsageError
from refute.eval_command import NOTICE, ProblemSet, score_file
from refute.evidence import file_sha256
from refute.experiments import LIBRARIES
from refute.humaneval.prompts import PROTOCOLS, ProtocolName
from refute.humaneval.result_file import RESULTS
from refute.humaneval.sampler import Sampler
from refute.humaneval.scoring import Limits
from refute.job import Stop

if TYPE_CHECKING:
    from refute.humaneval.config import SourceModel
    from refute.humaneval.generate import Completion
    from refute.humaneval.server import Server

SAMPLES, SUMMARY = "samples.jsonl", "summary.json"
_RUN, _GENERATION, _LOG = "run.json", "generation.json", "work/samples.jsonl"
_EXTRACTION = "the text behind the prompt up to the leftmost match of a stop; executed as prompt + completion"


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask of which model."""

    model: Path
    protocol: ProtocolName
    sampler: Sampler
    max_new_tokens: int
    batch_size: int
    device: Literal["cpu", "cuda"]
    threads: int
    server: Server | None = None


def run_humaneval(order: Order, problems: ProblemSet, out: Path, limits: Limits) -> dict[str, object]:
    """Generate and score into `out`: samples.jsonl, results.jsonl, summary.json; returns the summary.

    An interrupted run goes on from its last sample; what a batch had not finished is generated again, so that the
    samples are those of an undisturbed run. Raises UsageError where `out` holds another run, MissingInputsError for a
    model without weights or tokenizer, NonFiniteError or ExperimentError where the model fails: an error, and no score.
    """
    identity = _identity(order, problems)
    claim(out, identity)
    if not (out / _GENERATION).exists():
        make = _generate if order.server is None else _ask
        make(order, problems, out, identity)
    generation = json.loads((out / _GENERATION).read_text(encoding="utf-8"))
    figures = score_file(out / SAMPLES, out / RESULTS, problems=problems, limits=limits, partial=False)
    summary = {**figures, "generation": {**identity, **generation}}
    _write_json(out / SUMMARY, summary)
    return summary


def claim(out: Path, identity: Mapping[str, object]) -> None:
    """Make `out` the folder of the run with this identity. Raises UsageError where it is another run's."""
    path = out / _RUN
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(identity))
        changed = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
        if changed:
            shown = "; ".join(f"{key} was {known.get(key)!r}, is {wanted.get(key)!r}" for key in changed)
            raise UsageError(f"{out} holds another run: {shown}", hint="name another --out")
        return
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty, and holds no run of `refute eval humaneval`", hint="name another --out")
    out.mkdir(parents=True, exist_ok=True)
    _write_json(path, identity)


def diversity(completions: Sequence[Completion]) -> dict[str, object]:
    """How different the samples of a problem are: at a temperature above 0 they must not all be one."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for completion in completions:
        texts[completion.task_id].append(completion.text)
    alike = [task for task, found in texts.items() if len(set(found)) == 1]
    distinct = sum(len(set(found)) for found in texts.values())
    return {
        "samples": len(completions),
        "distinct_samples": distinct,
        "problems_with_identical_samples": len(alike),
        "problems": len(texts),
    }


def _identity(order: Order, problems: ProblemSet) -> dict[str, object]:
    if order.server is not None and order.protocol != "completion":
        raise UsageError("a server is asked by the bare prompt only", hint="use --protocol completion")
    if order.server is None and not order.model.exists():
        raise MissingInputsError(f"no model at {order.model}", hint="name a model folder, or a GGUF file")
    return {
        # What a server serves cannot be hashed from here: there is its word only.
        "model_sha256": model_digest(order.model) if order.server is None else None,
        "served_model": None if order.server is None else order.server.model,
        "problems_sha256": problems.sha256,
        "problems": len(problems.tasks),
        "protocol": order.protocol,
        "stop_sequences": list(PROTOCOLS[order.protocol].stops),
        "extraction": _EXTRACTION,
        "sampler": asdict(order.sampler),
        "max_new_tokens": order.max_new_tokens,
        "batch_size": order.batch_size,
        "backend": "transformers" if order.server is None else "openai",
        "device": order.device,
        "threads": order.threads,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of everything that may change a sample."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("refute", *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _generate(order: Order, problems: ProblemSet, out: Path, identity: Mapping[str, object]) -> None:
    # Before torch loads. Threads that spin while they wait cost a factor of 8 when others use the cores (measured: 2.2
    # tokens/s, and 17.5 with threads that sleep, for 8 rows on 2 cores under a load of 4).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Here, and not above: scoring needs neither torch nor transformers.
    from refute.humaneval.models import load_model
    from refute.humaneval.samples import SampleLog, write_samples
    from refute.humaneval.sampling import Recipe, answer, prepare_process, repeat

    prepare_process(order.threads)
    loaded = load_model(_source(order.model), {}, device=order.device)
    recipe = Recipe(order.protocol, order.max_new_tokens, order.batch_size, order.sampler)
    stop = Stop()
    with SampleLog(out / _LOG, _key(identity)) as log, signals(stop, NOTICE), progress() as report:
        made = answer(loaded, problems.problems, recipe, log, report, on_step=lambda: _heed(stop, out))
        repeated = repeat(loaded, problems.problems, recipe, log.done)
    write_samples(out / SAMPLES, made.completions)
    _write_json(
        out / _GENERATION,
        {
            "template_sha256": made.template_sha256,
            "effective_sampler": asdict(made.sampler),
            "generated_tokens": sum(completion.new_tokens for completion in made.completions),
            "tokens_per_s": round(made.tokens_per_s, 1),
            "stops": dict(Counter(completion.stop for completion in made.completions)),
            "diversity": diversity(made.completions),
            "repeated": repeated,
        },
    )


def _ask(order: Order, problems: ProblemSet, out: Path, identity: Mapping[str, object]) -> None:
    from refute.humaneval.samples import SampleLog, write_samples
    from refute.humaneval.server import ask_server

    if order.server is None:
        raise UsageError("no server to ask", hint="name one with --base-url")
    stop, began = Stop(), time.monotonic()
    with SampleLog(out / _LOG, _key(identity)) as log, signals(stop, NOTICE), progress() as report:
        before = sum(completion.new_tokens for completion in log.done.values())
        made = ask_server(
            order.server,
            problems.problems,
            order.sampler,
            order.max_new_tokens,
            log,
            report,
            on_step=lambda: _heed(stop, out),
        )
    tokens = sum(completion.new_tokens for completion in made.completions)
    write_samples(out / SAMPLES, made.completions)
    _write_json(
        out / _GENERATION,
        {
            # Templates, tokens and the sampler's own values are the server's affair.
            "template_sha256": None,
            "effective_sampler": asdict(order.sampler) | {"reported_by": "the request, not the server"},
            "generated_tokens": tokens,
            "tokens_per_s": round((tokens - before) / max(time.monotonic() - began, 1e-9), 1),
            "stops": dict(Counter(completion.stop for completion in made.completions)),
            "diversity": diversity(made.completions),
            "repeated": None,
            "retries": made.retries,
        },
    )


def _key(identity: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _heed(stop: Stop, out: Path) -> None:
    if stop():
        raise StoppedError(
            f"stopped; finished samples are kept in {out}", stop.signal, hint="the same command goes on from there"
        )


def _source(path: Path) -> SourceModel:
    from refute.humaneval.config import SourceModel
    from refute.release import GgufModel, HfModel, Source

    if path.is_file():
        source = Source(path=path.name, sha256=file_sha256(path))
        return SourceModel(kind="source", model=GgufModel(format="gguf", source=source), path=str(path))
    return SourceModel(kind="source", model=HfModel(format="hf", path=str(path)), path=str(path))


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(path)
