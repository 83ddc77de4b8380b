"""How samples were made, as generation.json states it; and whether they are what their sampler should give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from refute.engines.humaneval.backends.interface import GenerationFacts
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.diversity import diversity
from refute.engines.humaneval.samples.sampler import Sampler
from refute.errors import ExperimentError


def generation_report(
    made: GenerationFacts, completions: Sequence[Completion], unanswered: Mapping[Key, str]
) -> dict[str, object]:
    """How samples were made, for people to read and `require_sampled` to judge."""
    return {
        **asdict(made.prompt_format),
        "effective_sampler": dict(made.sampler),
        "sampler_reported_by": made.sampler_reported_by,
        "samples_depend_on": made.depends_on,
        "generated_tokens": sum(completion.new_tokens for completion in completions),
        "tokens_per_s": round(made.tokens_per_s, 1),
        "stops": dict(Counter(completion.stop for completion in completions)),
        "diversity": diversity([*completions, *made.probes]),
        "repeated": {"samples": made.repeated, "identical": made.identical, "must_be_identical": made.must_repeat},
        "extracted": dict(Counter(each.extraction for each in completions if each.extraction is not None)),
        "retries": made.retries,
        "parameters_adapted": list(made.adaptations),
        "errors": [
            {"task_id": task, "sample": sample, "reason": why} for (task, sample), why in sorted(unanswered.items())
        ],
    }


def require_sampled(sampler: Sampler, generation: Mapping[str, Any]) -> None:
    """Raise ExperimentError unless the samples are what the sampler should give.

    Where it draws, not every problem's samples may be one and the same; where it does not, and wherever the backend
    promises it, a sample must come out the same again.
    """
    different = generation["diversity"]
    several = different["problems_with_several_samples"]
    if sampler.method != "argmax" and different["problems_with_identical_samples"] == several:
        raise ExperimentError(
            f"at T = {sampler.temperature:g} the samples of each of {several} problems are all identical: "
            "nothing was drawn",
            hint="the server may ignore the temperature; for few problems with short answers ask for more samples",
        )
    require_repeated(sampler, generation)


def require_repeated(sampler: Sampler, generation: Mapping[str, Any]) -> None:
    """Raise ExperimentError where a sample had to come out the same again, and did not."""
    repeated = generation["repeated"]
    if repeated["must_be_identical"] and repeated["identical"] < repeated["samples"]:
        raise ExperimentError(
            f"at T = {sampler.temperature:g} only {repeated['identical']} of {repeated['samples']} samples came out "
            f"the same when they were asked for again; a sample depends on {generation['samples_depend_on']}",
            hint="compute one sample at a time (--concurrency 1, --batch-size 1), or draw with a seed (-t 0.2)",
        )
