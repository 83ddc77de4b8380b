"""The answers of a release's model: asked for as the release says, and refused where they do not come out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from refute.errors import ExperimentError
from refute.humaneval.answering import Answerer, Made, Recipe, Wish
from refute.humaneval.completion import Completion
from refute.humaneval.config import EvaluateConfig
from refute.humaneval.failures import Failures
from refute.humaneval.problems import Problem
from refute.job import Job

# Of each sample that is asked for once more: enough to tell, at a fraction of the price.
_BEGINNING_TOKENS = 16


@contextmanager
def answerer_of(
    job: Job, config: EvaluateConfig, problems: Sequence[Problem], failures: Failures
) -> Iterator[Answerer]:
    """The model of the experiment, ready to answer `problems` greedily; finished samples are kept in `job.scratch`."""
    # Here, and not above: calibration and reading results need neither torch nor transformers.
    from refute.humaneval.sampling import in_transformers

    settings = config.humaneval
    recipe = Recipe(settings.prompt, settings.max_new_tokens, settings.batch_size)
    wish = Wish(job.scratch / "samples.jsonl", config.model_dump(mode="json"), failures, job.report)
    with in_transformers(
        config.model,
        job.inputs,
        recipe,
        wish,
        device=config.device,
        threads=config.threads,
        repeat_tokens=_BEGINNING_TOKENS,
    ) as answerer:
        yield answerer


def require_repeatable(made: Made) -> None:
    """Raise ExperimentError where greedy samples did not begin the same when they were made once more."""
    if made.must_repeat and made.identical < made.repeated:
        raise ExperimentError(
            f"only {made.identical} of {made.repeated} greedy samples began the same when generated once more",
            hint="look for nondeterministic kernels on this device; such a model has no greedy score",
        )


def account_of(
    config: EvaluateConfig, made: Made, completions: Sequence[Completion], failures: Failures
) -> Mapping[str, object]:
    """What a summary says of how the answers were made, and of those that are not there."""
    stops = Counter(completion.stop for completion in completions)
    return {
        **made.manner,
        "max_new_tokens": config.humaneval.max_new_tokens,
        "batch_size": config.humaneval.batch_size,
        "effective_sampler": dict(made.sampler),
        "sampler_reported_by": made.sampler_reported_by,
        "samples_depend_on": made.depends_on,
        "repeated": {"samples": made.repeated, "identical": made.identical},
        "stops": dict(stops),
        "truncated": stops["length"],
        "generated_tokens": sum(completion.new_tokens for completion in completions),
        "tokens_per_s": made.tokens_per_s,
        "errors": len(failures.reasons),
        "allowed_error_share": failures.share,
    }
