"""How different the samples of a problem are: at a temperature above 0 they must not all be one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from refute.engines.humaneval.samples.completion import Completion


def diversity(completions: Sequence[Completion]) -> dict[str, int]:
    """Counts of samples and of different ones within their problem, and of problems whose samples are all alike."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for completion in completions:
        texts[completion.task_id].append(completion.text)
    several = [found for found in texts.values() if len(found) > 1]
    return {
        "samples": len(completions),
        "distinct_samples": sum(len(set(found)) for found in texts.values()),
        "problems": len(texts),
        "problems_with_several_samples": len(several),
        "problems_with_identical_samples": sum(len(set(found)) == 1 for found in several),
    }
