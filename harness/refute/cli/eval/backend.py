"""The backend of `refute eval humaneval`: a model in transformers or llama.cpp, or a server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refute.cli.arguments import reading_what_was_named
from refute.cli.eval.problem_set import ProblemSet
from refute.cli.eval.run_console import RunConsole
from refute.disk import file_sha256
from refute.engines.humaneval.backends.interface import Backend, GenerationContext, GenerationSettings
from refute.engines.humaneval.problems.prompts import ProtocolName, protocol_of
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sampler import Sampler
from refute.errors import UsageError

if TYPE_CHECKING:
    from refute.engines.model.server.client import Server
    from refute.spec.experiments.humaneval import SourceModel


BackendName = Literal["transformers", "llama.cpp", "openai"]


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """What to ask of which model. `batch_size` samples at a time; `allowed_errors` is a share of all samples."""

    model: Path
    protocol: ProtocolName
    sampler: Sampler
    max_new_tokens: int
    batch_size: int
    device: Literal["cpu", "cuda"]
    threads: int
    backend: BackendName = "transformers"
    server: Server | None = None
    allowed_errors: float = 0.0
    system_prompt: str | None = None

    @property
    def generation(self) -> GenerationSettings:
        """What shapes the samples. Raises UsageError for a system prompt that has no place."""
        protocol = protocol_of(self.protocol, self.system_prompt)
        return GenerationSettings(protocol, self.max_new_tokens, self.batch_size, self.sampler)


@contextmanager
def open_backend(
    request: EvalRequest,
    problems: ProblemSet,
    log: Path,
    identity: Mapping[str, object],
    console: RunConsole,
    failures: Failures,
) -> Iterator[Backend]:
    """Whoever answers `order`; samples that `log` holds from before under the same identity are not made again.

    Raises UnreadableInputError for a model that cannot be loaded, ExperimentError for a server that cannot be asked.
    """
    context = GenerationContext(log, identity, failures, console.report, console.check_stop)
    with ExitStack() as stack:
        with reading_what_was_named():
            backend = stack.enter_context(_backend(request, problems, context))
        yield backend


def _backend(request: EvalRequest, problems: ProblemSet, context: GenerationContext) -> AbstractContextManager[Backend]:
    if request.backend == "transformers":
        return _load(request, context)
    # Here, and not above: neither http nor llama.cpp is needed by a model that is loaded.
    from refute.engines.humaneval.backends.servers.server_backend import open_llama_cpp, open_server

    if request.backend == "llama.cpp":
        return open_llama_cpp(request.model, problems.problems, request.generation, context, threads=request.threads)
    if request.server is None:
        raise UsageError("no server to ask", hint="name one with --base-url")
    return open_server(request.server, request.generation, context)


def _load(request: EvalRequest, context: GenerationContext) -> AbstractContextManager[Backend]:
    # Before torch loads. Threads that spin while they wait cost a factor of 8 when others use the cores (measured: 2.2
    # tokens/s, and 17.5 with threads that sleep, for 8 rows on 2 cores under a load of 4).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Here, and not above: scoring needs neither torch nor transformers.
    from refute.engines.humaneval.backends.local.transformers_backend import open_transformers

    return open_transformers(
        _source(request.model), {}, request.generation, context, device=request.device, threads=request.threads
    )


def _source(path: Path) -> SourceModel:
    from refute.spec.experiments.humaneval import SourceModel
    from refute.spec.release import GgufModel, HfModel, Source

    if path.is_file():
        source = Source(path=path.name, sha256=file_sha256(path))
        return SourceModel(kind="source", model=GgufModel(format="gguf", source=source), path=str(path))
    return SourceModel(kind="source", model=HfModel(format="hf", path=str(path)), path=str(path))
