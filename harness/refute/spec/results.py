"""Results that other tools have measured, as a release names them: a file for the student, and one for its baseline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.fields import Closed

Benchmark = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
ResultFormat = Literal["lm-eval", "inspect", "evalplus", "human-eval", "lighteval", "helm", "items"]


class ResultFile(Closed):
    """What a tool wrote item by item: lm-eval's `samples_*.jsonl`, Inspect's log (.json or .eval), EvalPlus's results,
    human-eval's `*_results.jsonl`, lighteval's Parquet details, HELM's `per_instance_stats.json`, or one's own `items`.

    `run` is the file beside it that says how it was run, for lm-eval (`results_*.json`) and HELM (`run_spec.json`).
    `metric` and `filter` choose where a file has several.
    """

    format: ResultFormat
    path: str
    run: str | None = None
    metric: str | None = None
    filter: str | None = None


class BenchmarkResults(Closed):
    """One benchmark on the student and, where it is compared, on a baseline: the same items, asked in the same way."""

    student: ResultFile
    baseline: ResultFile | None = None

    def sides(self) -> dict[Literal["student", "baseline"], ResultFile]:
        """The files that are named, by whose they are."""
        found: dict[Literal["student", "baseline"], ResultFile] = {"student": self.student}
        if self.baseline is not None:
            found["baseline"] = self.baseline
        return found
