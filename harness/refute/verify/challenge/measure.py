"""What auditors do, done again over the evidence of a verdict, and what the falsifiers say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from refute.errors import UsageError, VerificationError
from refute.evidence.experiment import Experiment, Plan, TakenFiles
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.manifest import manifest_digest
from refute.evidence.plan import plan_for
from refute.evidence.sources import located_folder
from refute.evidence.store import Store
from refute.evidence.store.opening import open_objects
from refute.falsifier.context import Evidence
from refute.falsifier.registry import Registry
from refute.falsifier.runner import Gate
from refute.judge.predicate.model import Predicate
from refute.outcome import Outcome, Record
from refute.spec.criteria import Criterion, FalsifierUse, Spec, parse_spec
from refute.spec.experiments.evidence_files import (
    CE_CONTROL_AUDIT,
    CE_CONTROL_REDO,
    INIT_REDO,
    REPLAYS,
    STUDENT_AUDIT,
    STUDENT_REDO,
    TRAININGS,
)
from refute.spec.files import LoadedRelease
from refute.verify.challenge.statement import MadeAgain, Result

# What is made again: of it, nothing of the verdict's is believed.
AUDITS: Final[tuple[str, ...]] = (INIT_REDO, STUDENT_AUDIT, STUDENT_REDO, CE_CONTROL_AUDIT, CE_CONTROL_REDO, *REPLAYS)


@dataclass(frozen=True, slots=True)
class Challenged:
    """What was made again, and a record of every falsifier that rests on it."""

    again: dict[str, MadeAgain]
    records: tuple[Record, ...]

    @property
    def result(self) -> Result:
        """`held` only where every falsifier let it stand."""
        outcomes = {record.outcome for record in self.records} - {Outcome.NOT_APPLICABLE}
        if Outcome.FALSIFIED in outcomes:
            return "refuted"
        return "held" if outcomes == {Outcome.CORROBORATED} else "open"


def measure_again(
    predicate: Predicate, release: LoadedRelease, store: str | Path, registry: Registry, work: Path, watcher: Watcher
) -> Challenged:
    """Make the audits of a verdict again in `work`, from its evidence in `store`, and attack them by its specs.

    Audits draw anew, so other segments and answers are looked at. The teacher and the problems are those that
    `release` names on this machine; nothing is trained.

    Raises UsageError where the verdict rests on no such audit, VerificationError for evidence that is not the
    verdict's, and what `Laboratory.obtain` raises for audits that cannot be made.
    """
    specs = [parse_spec(text.text, text.name) for text in predicate.specs]
    uses = list(_uses(specs, registry, predicate))
    if not uses:
        raise UsageError(
            f"nothing in this verdict can be challenged: no falsifier of it rests on {', '.join(AUDITS)}",
            hint="only a distillation that kept its evidence is made again",
        )
    _link(predicate, store, work / "taken")
    plan = _plan(predicate, release, specs, registry, work / "taken")
    laboratory = Laboratory(plan, Store(work / "store"), watcher)
    gate = Gate(release, registry, laboratory, work / "falsifiers.log")
    records = tuple(gate.run(spec, criterion, use) for spec, criterion, use in uses)
    found, made_by = laboratory.evidence(), laboratory.made_by()
    _require_the_same(predicate, found)
    again = {
        name: MadeAgain(digest=found[name].digest, entropy=_entropy(found[name]), made_by=made_by.get(name))
        for name in AUDITS
        if name in found
    }
    return Challenged(again, records)


def _uses(
    specs: Sequence[Spec], registry: Registry, predicate: Predicate
) -> Iterator[tuple[Spec, Criterion, FalsifierUse]]:
    """Those of falsifiers that rest on an audit, of a run whose evidence the verdict has."""
    made = [name for name in TRAININGS if name in predicate.evidence]
    for spec in specs:
        for criterion in spec.criteria:
            for use in criterion.falsifiers:
                needs = registry[use.uses].needs if use.uses and use.uses in registry else ()
                if made and not set(AUDITS).isdisjoint(needs):
                    yield spec, criterion, use


def _plan(predicate: Predicate, release: LoadedRelease, specs: Sequence[Spec], registry: Registry, taken: Path) -> Plan:
    """That of the release, with the verdict's evidence in the place of whatever made it; audits are still to be made.

    A training that the verdict has no evidence of fails by name: nobody trains for a challenge.
    """
    plan = dict(plan_for(release.release, release.path.parent, specs, registry))
    kept = {name: _taken(name, taken / name) for name in predicate.evidence if name not in AUDITS}
    gone = [name for name in TRAININGS if name not in kept and name in plan]
    return {name: each for name, each in {**plan, **kept}.items() if name not in gone}


def _taken(name: str, folder: Path) -> Experiment:
    return Experiment(name, f"take in {name}", None, lambda at: TakenFiles(path=at(located_folder(folder))))


def _link(predicate: Predicate, store: str | Path, folder: Path) -> None:
    """Every file of the verdict's evidence under its own name; whether they are the right ones is seen later."""
    objects = open_objects(store)
    for name, files in predicate.evidence.items():
        for file, digest in files.items():
            link, target = folder / name / file, objects(digest)
            if folder.resolve() not in link.resolve().parents or not target.is_file():
                raise VerificationError(
                    f"evidence {name}/{file} is not in the store: {target} is missing",
                    hint="have it exported there: refute store export, then refute store import",
                    cause="evidence",
                )
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve())


def _require_the_same(predicate: Predicate, found: Mapping[str, Evidence]) -> None:
    """Raises VerificationError where evidence that was taken in is not that of the verdict, to the last byte."""
    for name, files in predicate.evidence.items():
        if name in found and name not in AUDITS and found[name].digest != manifest_digest(files):
            raise VerificationError(
                f"evidence {name} in the store is not that of the verdict",
                hint="import the verdict's own again: refute store import",
                cause="evidence",
            )


def _entropy(evidence: Evidence) -> str | None:
    with suppress(KeyError):
        return str(evidence.json("draw.json")["entropy"]) if "draw.json" in evidence.files else None
    return None


def under_its_own_name(release: LoadedRelease, predicate: Predicate) -> LoadedRelease:
    """`release`, with the words of the verdict. Raises UsageError for another release than the verdict's."""
    if release.sha256 != predicate.release.sha256:
        raise UsageError(
            f"{release.path} is not the release of the verdict: its SHA-256 is {release.sha256}, expected "
            f"{predicate.release.sha256}",
            hint="give the file that was judged, in the folder from which its paths start",
        )
    return replace(release, text=predicate.release.text)
