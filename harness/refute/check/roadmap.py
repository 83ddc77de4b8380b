"""Where every criterion stands, derived from signed verdicts and never typed: planned, corroborated, discharged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.check.reviews import fingerprint
from refute.disk import read_regular
from refute.errors import SpecError, VerificationError
from refute.judge.run.verdict_files import verdicts_in
from refute.outcome import Outcome, Ruling, RunClass
from refute.spec.criteria import Criterion, Spec, parse_spec
from refute.verify.verification import Verified, verify_verdict

PLANNED, DISCHARGED = "planned", "discharged"
_UNMEASURED = (Outcome.NOT_RUN, Outcome.SKIPPED)


@dataclass(frozen=True, slots=True)
class Place:
    """A criterion and its status: `planned` while no signed verdict measured it as it reads today, `discharged` by a
    GO or WARN in which it is corroborated, else the outcome in the verdict named by `payload_sha256`."""

    spec: str
    phase: int
    criterion: str
    title: str
    severity: str
    status: str
    release: str = ""
    payload_sha256: str = ""
    evaluated_at: str = ""


@dataclass(frozen=True, slots=True)
class Roadmap:
    """Every criterion in the order of the specs, and the verdicts that say nothing here, each with its reason."""

    places: tuple[Place, ...]
    refused: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        keys = Place.__slots__
        return {
            "criteria": [{key: getattr(place, key) for key in keys} for place in self.places],
            "refused": list(self.refused),
        }


def roadmap(specs: Sequence[Spec], runs: Path, trusted_keys: Sequence[bytes], release: str | None = None) -> Roadmap:
    """The status of each criterion by the verdicts below `runs` that `trusted_keys` signed, of `release` if named.

    A verdict counts for a criterion that it measured in today's wording. Of several, those of the largest run class
    count, and of these the last.
    """
    verdicts: list[Verified] = []
    refused: list[str] = []
    for path in _newest_verdicts(runs):
        try:
            verified = verify_verdict(read_regular(path), trusted_keys)
        except (VerificationError, OSError) as error:
            refused.append(f"{path}: {error}")
            continue
        if release in (None, verified.predicate.release.id):
            verdicts.append(verified)
    verdicts.sort(key=lambda each: (_size(each), each.predicate.evaluated_at, each.predicate.identity.sequence))
    found = {place: each for each in verdicts for place in _measured(each)}
    places = (_place(spec, criterion, found) for spec in specs for criterion in spec.criteria)
    return Roadmap(tuple(places), tuple(refused))


def _newest_verdicts(runs: Path) -> Iterator[Path]:
    """Of each run the verdict that was signed last; `latest` is a second name of one of them."""
    for run in sorted(path for path in runs.glob("*") if not path.is_symlink()):
        yield from (files.verdict for files in verdicts_in(run)[-1:])


_Wording = tuple[str, frozenset[str]]


def _wording(criterion: Criterion) -> _Wording:
    return criterion.id, frozenset(fingerprint(criterion, use) for use in criterion.falsifiers)


def _measured(verified: Verified) -> Iterator[_Wording]:
    """Criteria of a verdict that it says something about, as they read then."""
    outcomes = {ruling.criterion: ruling.outcome for ruling in verified.predicate.verdict.criteria}
    for text in verified.predicate.specs:
        for criterion in _criteria(text.text, text.name):
            if outcomes[criterion.id] not in _UNMEASURED:
                yield _wording(criterion)


def _criteria(text: str, name: str) -> Iterable[Criterion]:
    try:
        return parse_spec(text, name).criteria
    except SpecError:  # verified above; a spec of another version of refute says nothing today
        return ()


def _size(verified: Verified) -> int:
    return list(RunClass).index(verified.predicate.release.run_class)


def _place(spec: Spec, criterion: Criterion, found: dict[_Wording, Verified]) -> Place:
    known = spec.spec, criterion.phase, criterion.id, criterion.title, criterion.severity.value
    verified = found.get(_wording(criterion))
    if verified is None:
        return Place(*known, PLANNED)
    predicate = verified.predicate
    outcome = next(each.outcome for each in predicate.verdict.criteria if each.criterion == criterion.id)
    good = outcome is Outcome.CORROBORATED and predicate.verdict.ruling is not Ruling.NO_GO
    status = DISCHARGED if good else outcome.value
    return Place(*known, status, predicate.release.id, verified.payload_sha256, predicate.evaluated_at)
