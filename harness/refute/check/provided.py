"""A release against its specs: evidence that a run would be asked for, and that nothing in the release provides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from refute.errors import Problem
from refute.evidence.experiment import Plan
from refute.falsifier.registry import Falsifier
from refute.spec.criteria import LoadedSpec, not_applicable
from refute.spec.files import LoadedRelease
from refute.spec.yaml.document import parse_yaml
from refute.spec.yaml.suggest import suggestion


def unprovided(
    release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier], plan: Plan
) -> list[Problem]:
    """The subject of `release`, and every need of a falsifier that `specs` use on it, that is not in `plan`."""
    return [*_subject(release, plan), *_needs(release, specs, registry, plan)]


def _subject(release: LoadedRelease, plan: Plan) -> Iterator[Problem]:
    subject = release.release.subject
    if subject is not None and subject not in plan:
        document = parse_yaml(release.text, str(release.path))
        message = f"[release/no-such-subject] nothing provides the subject `{subject}`{suggestion(subject, plan)}"
        yield document.problem(("subject",), message, "release/no-such-subject")


def _needs(
    release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier], plan: Plan
) -> Iterator[Problem]:
    for loaded in specs:
        for index, criterion in enumerate(loaded.spec.criteria):
            if not_applicable(criterion, release.release) is not None:
                continue
            for number, use in enumerate(criterion.falsifiers):
                falsifier = registry.get(use.uses or "")
                for need in (each for each in falsifier.needs if each not in plan) if falsifier is not None else ():
                    message = (
                        f"[spec/no-such-evidence] `{use.uses}` needs `{need}`, which release {release.path} does not "
                        f"provide{suggestion(need, plan)}"
                    )
                    place = ("criteria", index, "falsifiers", number, "uses")
                    yield loaded.document.problem(place, message, "spec/no-such-evidence")
