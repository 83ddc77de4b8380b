"""The backend that a release names, opened as the release says; and what a summary says of how it generated."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from refute.engines.humaneval.backends.interface import Backend, GenerationContext, GenerationFacts, GenerationSettings
from refute.engines.humaneval.backends.servers.server_backend import open_llama_cpp, open_server
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import protocol_of
from refute.engines.humaneval.samples.call_log import CallLog
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sampler import GREEDY, Sampler, make_sampler
from refute.engines.model.server.client import Server
from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import BackendFacts, EffectiveSampler, Generation, Repeated, Stop
from refute.spec.experiments.evidence_files import EXPORTED, EXPORTS, GGUF_FILES, MODEL_CALLS, SAMPLES
from refute.spec.experiments.export import REFERENCE
from refute.spec.experiments.humaneval import EvaluateConfig, LlamaCppFile, ServedModel
from refute.spec.release import HumanEval

Config = TypeVar("Config", bound=EvaluateConfig)

# Of each sample that is asked for once more: enough to tell, at a fraction of the price.
_BEGINNING_TOKENS = 16


@contextmanager
def open_release_backend(
    job: Job, config: EvaluateConfig, problems: Sequence[Problem], failures: Failures
) -> Iterator[Backend]:
    """The model of the experiment, ready to be asked as the release says; finished samples are kept in `job.scratch`.

    Raises UsageError where the backend cannot ask by the release's protocol: a score under another is another score.
    """
    settings = config.humaneval
    context = GenerationContext(
        job.scratch / SAMPLES.name,
        config.model_dump(mode="json"),
        failures,
        job.report,
        on_call=call_log(job).note,
    )
    with _open(job, config, problems, context) as backend:
        protocol = backend.prompt_format.protocol
        if protocol != settings.prompt:
            raise UsageError(
                f"the release asks by the protocol {settings.prompt}, and its server can only be asked by {protocol}",
                hint="state `prompt: completion`, or serve the model with llama.cpp's llama-server",
            )
        yield backend


def with_exported_file(config: Config, job: Job) -> Config:
    """`config`, in which a file that is among the evidence `exported` has its path and digest."""
    backend = config.backend
    if not isinstance(backend, LlamaCppFile) or backend.path is not None:
        return config
    made = EXPORTS.read(job.inputs[EXPORTED].folder, EXPORTED)
    file = next(each for each in made.files if each.label == REFERENCE)
    path = job.inputs[EXPORTED].path(GGUF_FILES.name) / file.file
    located = backend.model_copy(update={"path": str(path), "sha256": file.sha256})
    return config.model_copy(update={"backend": located})


def call_log(job: Job) -> CallLog:
    """What the model of `job` was asked so far; as the finished samples, it survives a kill."""
    return CallLog(job.scratch / MODEL_CALLS.name)


def sampler_of(settings: HumanEval) -> Sampler:
    """Greedy, or the sampler that draws several samples a problem."""
    drawn = settings.sampling
    if drawn is None:
        return GREEDY
    return make_sampler(n=drawn.samples, temperature=drawn.temperature, top_p=drawn.top_p, seed=drawn.seed)


def _open(
    job: Job, config: EvaluateConfig, problems: Sequence[Problem], context: GenerationContext
) -> AbstractContextManager[Backend]:
    backend, settings = config.backend, config.humaneval
    protocol = protocol_of(settings.prompt, settings.system_prompt)
    generation = GenerationSettings(protocol, settings.max_new_tokens, settings.batch_size, sampler_of(settings))
    if isinstance(backend, LlamaCppFile):
        if backend.path is None:
            raise ValueError("a file of the evidence `exported` was not located")
        generation = replace(generation, batch_size=backend.slots)
        return open_llama_cpp(Path(backend.path), problems, generation, context, threads=config.threads)
    if isinstance(backend, ServedModel):
        return open_server(_server(backend), generation, context)
    # Here, and not above: the other backends need neither torch nor transformers.
    from refute.engines.humaneval.backends.local.transformers_backend import open_transformers

    return open_transformers(
        config.model,
        job.inputs,
        generation,
        context,
        device=config.device,
        threads=config.threads,
        repeat_tokens=_BEGINNING_TOKENS,
    )


def _server(backend: ServedModel) -> Server:
    if backend.key_variable is not None and backend.key_variable not in os.environ:
        raise MissingInputsError(
            f"there is no environment variable {backend.key_variable}", hint="set it to the server's API key"
        )
    return Server(
        backend.base_url,
        backend.model,
        backend.concurrency,
        backend.attempts,
        backend.timeout_s,
        key=os.environ.get(backend.key_variable or ""),
    )


def require_repeatable(made: GenerationFacts) -> None:
    """Raise ExperimentError where samples that must repeat did not begin the same when they were made once more."""
    if made.must_repeat and made.identical < made.repeated:
        raise ExperimentError(
            f"only {made.identical} of {made.repeated} samples began the same when generated once more",
            hint="look for nondeterministic kernels, or what is computed together; such a model has no score",
        )


def generation_of(
    config: EvaluateConfig, made: GenerationFacts, completions: Sequence[Completion], failures: Failures
) -> Generation:
    """What a summary says of how the answers were made, and of those that are not there."""
    stops: Counter[Stop] = Counter(completion.stop for completion in completions)
    return Generation(
        protocol=made.prompt_format.protocol,
        stop_sequences=made.prompt_format.stop_sequences,
        extraction=made.prompt_format.extraction,
        template_sha256=made.prompt_format.template_sha256,
        system_prompt=made.prompt_format.system_prompt,
        backend=_backend_facts(config),
        max_new_tokens=config.humaneval.max_new_tokens,
        batch_size=config.humaneval.batch_size,
        effective_sampler=EffectiveSampler.model_validate(made.sampler),
        sampler_reported_by=made.sampler_reported_by,
        samples_depend_on=made.depends_on,
        repeated=Repeated(samples=made.repeated, identical=made.identical),
        stops=dict(stops),
        truncated=stops["length"],
        generated_tokens=sum(completion.new_tokens for completion in completions),
        tokens_per_s=made.tokens_per_s,
        errors=len(failures.reasons),
        allowed_error_share=failures.share,
    )


def _backend_facts(config: EvaluateConfig) -> BackendFacts:
    """Who answered, for evidence: neither a path nor a key is in it."""
    backend = config.backend
    if isinstance(backend, LlamaCppFile):
        return BackendFacts(kind=backend.kind, version=backend.version, file_sha256=backend.sha256)
    if isinstance(backend, ServedModel):
        return BackendFacts(kind=backend.kind, base_url=backend.base_url, model=backend.model)
    return BackendFacts(kind="transformers", version=version("transformers"))
