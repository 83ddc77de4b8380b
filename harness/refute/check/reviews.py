"""Reviews: the wording of a criterion that a person last held each falsifier against, kept in reviews.json.

A falsifier whose criterion or bars have changed since is a suspect: it may attack a claim that is no longer made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from refute.attest import canonical_json, sha256_hex
from refute.disk import read_regular, write_whole
from refute.errors import Problem, SpecError, UsageError
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import Criterion, FalsifierUse, Spec, attacks
from refute.spec.fields import Closed, Sha256, first_fault

REVIEWS = "reviews.json"
_HINT = "look at them, then `refute review` with their ids"


class Review(Closed):
    """One falsifier's: the criterion, the fingerprint of what was read, who read it and when (UTC)."""

    criterion: str
    fingerprint: Sha256
    by: Annotated[str, Field(pattern=r"\S")]
    at: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Reviews(Closed):
    """A reviews.json, which lies beside the specs and is committed with them."""

    reviews: dict[str, Review]


def fingerprint(criterion: Criterion, use: FalsifierUse) -> str:
    """SHA-256 of RFC 8785 of all that decides what `use` must refute; titles, sources and time limits do not.

    What is left at its default says nothing, so that a field that the language gains later makes no suspects.
    """
    apart, apart_of_use = {"title", "source", "phase", "falsifiers"}, {"title", "timeout_s", "thresholds"}
    claim = criterion.model_dump(mode="json", by_alias=True, exclude=apart, exclude_defaults=True)
    attack = use.model_dump(mode="json", by_alias=True, exclude=apart_of_use, exclude_defaults=True)
    # Parsed: `1e-3` and `0.001` are one bar.
    bars = {name: _bars(text) for name, text in use.thresholds.items()}
    return sha256_hex(canonical_json({"criterion": claim, "falsifier": attack, "bars": bars}))


def read_reviews(path: Path) -> Reviews | None:
    """The reviews at `path`, or None where nobody has reviewed yet. Raises SpecError for a file that is none,
    UsageError for what is no file."""
    if not path.exists():
        return None
    try:
        return Reviews.model_validate_json(read_regular(path))
    except ValidationError as error:
        problem = Problem(str(path), 1, "", f"[trace/reviews] {first_fault(error)}")
        raise SpecError([problem], hint="restore it, or delete it and review again") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def suspects(specs: Sequence[Spec], reviews: Reviews, path: Path) -> Iterator[Problem]:
    """A problem for each falsifier that was never reviewed, or not in this wording, and for each unknown id."""
    uses = {use.id: (criterion, use) for _, criterion, use in attacks(specs)}
    for name, (criterion, use) in uses.items():
        review = reviews.reviews.get(name)
        if review is None:
            yield Problem(str(path), 1, name, f"[trace/unreviewed] {name} was never reviewed; {_HINT}")
        elif (review.criterion, review.fingerprint) != (criterion.id, fingerprint(criterion, use)):
            changed = f"{criterion.id} or its bars have changed since {review.by} reviewed it on {review.at}"
            yield Problem(str(path), 1, name, f"[trace/suspect] {name} is a suspect: {changed}; {_HINT}")
    for name in sorted(set(reviews.reviews) - set(uses)):
        yield Problem(str(path), 1, name, f"[trace/unknown-id] {name} is reviewed, but no spec uses it")


def review(path: Path, specs: Sequence[Spec], names: Sequence[str], by: str) -> tuple[str, ...]:
    """Record that `by` holds the falsifiers `names` (none: all) fit for their criteria as they read today.

    Returns the ids whose entry changed. Entries of falsifiers that are gone go. Raises UsageError for an id that no
    spec uses, ExperimentError where the file cannot be written.
    """
    uses = {use.id: (criterion, use) for _, criterion, use in attacks(specs)}
    unknown = sorted(set(names) - set(uses))
    if unknown:
        raise UsageError(f"no spec uses {', '.join(unknown)}", hint=f"there are: {', '.join(sorted(uses))}")
    before = read_reviews(path) or Reviews(reviews={})
    today = datetime.now(UTC).date().isoformat()
    after = {name: found for name, found in before.reviews.items() if name in uses}
    for name in names or sorted(uses):
        criterion, use = uses[name]
        found = Review(criterion=criterion.id, fingerprint=fingerprint(criterion, use), by=by, at=today)
        old = before.reviews.get(name)
        if old is None or (old.criterion, old.fingerprint) != (found.criterion, found.fingerprint):
            after[name] = found
    reviews = Reviews(reviews=dict(sorted(after.items())))
    write_whole(path, f"{reviews.model_dump_json(indent=1)}\n".encode())
    return tuple(name for name in sorted({*after, *before.reviews}) if after.get(name) != before.reviews.get(name))


def _bars(text: ThresholdText) -> list[str]:
    threshold = text.parsed()
    parts = (threshold.holds_if, threshold.inconclusive_if, text.sequential, text.floors() or None)
    return [str(part) for part in parts if part is not None]
