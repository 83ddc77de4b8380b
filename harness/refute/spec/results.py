"""What others have found, as a release names it: results of other tools, and verdicts on other releases."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refute.spec.fields import Closed, ReleaseId, Sha256

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


class ConsumerAttestation(Closed):
    """What `refute consume` wrote for somebody who used a release, and the public key (PEM) of who signed it."""

    file: str
    key: str


class RequiredVerdict(Closed):
    """Another release that must have been judged GO before this one's first experiment.

    `verdict` is its signed verdict, or a folder of runs, in which the newest on that release counts, whatever it says.
    The key that must have signed it is named by its PEM file, by its id (the SHA-256 of its SubjectPublicKeyInfo, as
    `refute verify` prints it), or by both; with the id alone, the PEM is `verifier.pem` beside the verdict. `key_name`
    names it in the folder of keys of whoever runs this: `development` for what was signed on this machine.
    """

    release: ReleaseId
    verdict: str
    key: str | None = None
    key_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    key_id: Sha256 | None = None
    subject_sha256: Sha256 | None = None
    consumer: ConsumerAttestation | None = None

    @model_validator(mode="after")
    def _names_a_key(self) -> Self:
        if self.key is None and self.key_name is None and self.key_id is None:
            raise ValueError("name `key`, `key_name` or `key_id`: a verdict that anybody may sign proves nothing")
        if self.key is not None and self.key_name is not None:
            raise ValueError("name `key` or `key_name`, not both")
        return self
