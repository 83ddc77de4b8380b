"""A release against its specs: evidence that a run would be asked for, and that nothing in the release provides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from refute.errors import Problem
from refute.evidence.experiment import Plan
from refute.evidence.missing_inputs import evidence_faults
from refute.falsifier.registry import Falsifier
from refute.spec.criteria import LoadedSpec, not_applicable
from refute.spec.files import LoadedRelease
from refute.spec.yaml.document import KeyPath, parse_yaml
from refute.spec.yaml.suggest import suggestion

UNREADABLE = "release/unreadable-evidence"


def unprovided(
    release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier], plan: Plan
) -> list[Problem]:
    """The subject of `release`, and every need of a falsifier that `specs` use on it, that is not in `plan`."""
    return [*_subject(release, plan), *_needs(release, specs, registry, plan)]


def unreadable(release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier]) -> list[Problem]:
    """Evidence of the release's own that cannot be taken in here, and that a falsifier of `specs` needs on it."""
    document = parse_yaml(release.text, str(release.path))
    needed = {need for _, falsifier in _uses(release, specs, registry) for need in falsifier.needs}
    faults = evidence_faults(release.release, release.path.parent)
    return [
        document.problem(("evidence", name), f"[{UNREADABLE}] {name}, which a falsifier needs: {fault}", UNREADABLE)
        for name, fault in faults.items()
        if name in needed
    ]


def _subject(release: LoadedRelease, plan: Plan) -> Iterator[Problem]:
    subject = release.release.subject
    if subject is not None and subject not in plan:
        document = parse_yaml(release.text, str(release.path))
        message = f"[release/no-such-subject] nothing provides the subject `{subject}`{suggestion(subject, plan)}: "
        message += "bring it under `evidence`, or state the `distillation` or the finished `student` that it is"
        yield document.problem(("subject",), message, "release/no-such-subject")


def _needs(
    release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier], plan: Plan
) -> Iterator[Problem]:
    for (loaded, place), falsifier in _uses(release, specs, registry):
        for need in (each for each in falsifier.needs if each not in plan):
            message = (
                f"[spec/no-such-evidence] `{falsifier.name}` needs `{need}`, which release {release.path} does not "
                f"provide{suggestion(need, plan)}"
            )
            yield loaded.document.problem(place, message, "spec/no-such-evidence")


def _uses(
    release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier]
) -> Iterator[tuple[tuple[LoadedSpec, KeyPath], Falsifier]]:
    """Every falsifier that is used on the release, with spec and place."""
    for loaded in specs:
        for index, criterion in enumerate(loaded.spec.criteria):
            if not_applicable(criterion, release.release) is not None:
                continue
            for number, use in enumerate(criterion.falsifiers):
                if (falsifier := registry.get(use.uses or "")) is not None:
                    yield (loaded, ("criteria", index, "falsifiers", number, "uses")), falsifier
