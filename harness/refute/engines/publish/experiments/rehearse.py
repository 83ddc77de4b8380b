"""Experiment: publish what was staged to a hub on this machine, pull it again, and do so under every fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from refute.engines.publish.hub import MAIN, HubRepository, speak_plainly
from refute.engines.publish.manifest import files_below, hashed
from refute.engines.publish.pull import pull
from refute.engines.publish.push import StagedRelease, push
from refute.engines.publish.rehearsal import trials
from refute.engines.publish.rehearsal.fault_table import LOST_ANSWER, PULL_FAULTS, PUSH_FAULTS
from refute.engines.publish.rehearsal.faults import Fault
from refute.job import Job
from refute.spec.experiments import evidence_files as names
from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.experiments.evidence.publication import PulledFile, Pushed, RemoteEntry, RemoteRef
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.publication import RehearseConfig
from refute.spec.publication import Repository

_AT_ONCE: Final = 4

# A small release under a fault, in a folder of its own.
Trial = Callable[[Fault, StagedRelease, Path], EvidenceModel]


def rehearse(job: Job) -> None:
    """Push the evidence `staged` to a hub that no fault befalls; then a small release once for each fault of the table.

    Writes pushed.json; tree.jsonl, refs.jsonl and pulled.jsonl, what the hub then holds and gives; push_faults.jsonl
    and pull_faults.jsonl. By the same means plain_pushes.jsonl and plain_pulls.jsonl, of the hub's own client alone.
    Raises PublishingError and VerificationError as `push` does.
    """
    config = parse_config(RehearseConfig, job)
    speak_plainly(loopback=True)
    declared = config.publication.hub or Repository(repo=f"rehearsal/{config.publication.name}")
    _publish(job, StagedRelease.read(job.inputs[names.STAGED].folder), declared)
    shutil.rmtree(job.scratch)
    small = trials.small_release(job.scratch / "small")
    for file, faults, trial in (
        (names.PUSH_FAULTS, tuple(PUSH_FAULTS), trials.pushed_twice),
        (names.PULL_FAULTS, PULL_FAULTS, trials.pulled),
        (names.PLAIN_PUSHES, (LOST_ANSWER,), trials.pushed_plainly),
        (names.PLAIN_PULLS, PULL_FAULTS[:2], trials.pulled_plainly),
    ):
        _write(job.out / file.name, _under_each(job, file.name, faults, small, trial))


def _publish(job: Job, staged: StagedRelease, declared: Repository) -> None:
    with trials.open_hub(job.scratch / "hub", declared.repo) as (_, repository):
        pushed = push(staged, repository, declared, job.scratch / "pull", job.report)
        (job.out / names.PUSHED.name).write_text(json.dumps(pushed.as_json()), encoding="utf-8")
        _write(job.out / names.REMOTE_TREE.name, _remote_tree(repository, pushed))
        _write(job.out / names.REMOTE_REFS.name, _remote_refs(repository))
        # Once more, for what the push has hashed it threw away.
        _write(job.out / names.PULLED.name, _pulled_files(pull(repository, pushed.commit, job.scratch / "again")))


def _remote_tree(repository: HubRepository, pushed: Pushed) -> Iterator[RemoteEntry]:
    refs = repository.refs()
    for at, commit in (("main", refs.branches[MAIN]), ("tag", refs.tags[pushed.tag])):
        for path, each in sorted(repository.tree(commit).items()):
            yield RemoteEntry.model_validate(
                {"at": at, "path": path, "size": each.size, "git_sha1": each.git_sha1, "sha256": each.sha256}
            )


def _remote_refs(repository: HubRepository) -> Iterator[RemoteRef]:
    refs = repository.refs()
    for kind, found in (("branch", refs.branches), ("tag", refs.tags)):
        for name, commit in sorted(found.items()):
            titles = tuple(each.title for each in repository.history(commit))
            yield RemoteRef.model_validate({"kind": kind, "name": name, "commit": commit, "titles": titles})


def _pulled_files(folder: Path) -> Iterator[PulledFile]:
    for path in files_below(folder):
        found = hashed(folder / path, path, "stage")
        yield PulledFile(path=path, size=found.size, sha256=found.sha256)


def _under_each(
    job: Job, stage: str, faults: Sequence[Fault], small: StagedRelease, trial: Trial
) -> Iterator[EvidenceModel]:
    """The rows of all faults, in their order, some at a time: most of it is waiting."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        folders = [job.scratch / f"{stage}-{number}" for number in range(len(faults))]
        for done, row in enumerate(pool.map(trial, faults, [small] * len(faults), folders), start=1):
            job.progress(stage.partition(".")[0].replace("_", " "), done, len(faults))
            yield row


def _write(path: Path, rows: Iterable[EvidenceModel]) -> None:
    path.write_text("".join(f"{json.dumps(row.as_json(), sort_keys=True)}\n" for row in rows), encoding="utf-8")
