"""What a verdict is about: the subject's evidence, and what was made of it. Pure.

Whoever is judged writes the release and so names the subject; a spec says which evidence its criteria are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refute.outcome import Record
from refute.spec.criteria import Spec
from refute.spec.experiments.evidence_files import RESULTS_OF_OTHERS, STUDENT
from refute.spec.release import Release


def other_subjects(specs: Sequence[Spec], release: Release) -> tuple[str, ...]:
    """A sentence for every spec whose criteria are about other evidence than the subject of `release`."""
    return tuple(
        f"{spec.spec} is about the evidence {spec.subject!r}, and the release's subject is {release.subject!r}:"
        f" set `subject: {spec.subject}` in the release, or judge it by a specification of its own"
        for spec in specs
        if spec.subject is not None and spec.subject != release.subject
    )


def evidence_about(release: Release, needs: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The subject's evidence, and all that was made of it.

    `needs` says, by the name of each planned evidence, which other it was made of. A release without a subject is about
    what it brings and its student: never about the gate's own evidence.
    """
    found = {release.subject} if release.subject is not None else _products(release)
    while more := {name for name, made_of in needs.items() if not found.isdisjoint(made_of)} - found:
        found |= more
    return frozenset(found)


def rests_on(records: Sequence[Record], evidence: frozenset[str]) -> bool:
    """Whether any of the records cites one of `evidence`."""
    return any(name in evidence for record in records for name, _ in record.evidence)


def _products(release: Release) -> set[str]:
    has_student = release.distillation is not None or release.student is not None
    return {*release.evidence, *([STUDENT] if has_student else []), *([RESULTS_OF_OTHERS] if release.results else [])}
