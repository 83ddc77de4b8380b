"""A finished run -> signed verdict. Runs in its own process; trusts nothing but files it hashes again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    key_id,
    parse_json,
    public_pem,
    sha256_hex,
    sign_envelope,
)
from refute.disk import file_sha256
from refute.evidence.manifest import manifest_digest
from refute.evidence.store import Store
from refute.falsifier.records import read_records
from refute.judge.algebra import judge
from refute.judge.exhibits.inputs import gather_inputs
from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.bundle import write_bundle
from refute.judge.predicate.coverage import cover
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.identity import identify
from refute.judge.predicate.inputs import Inputs
from refute.judge.predicate.model import Predicate
from refute.judge.recompute import recompute
from refute.judge.record_check import contradiction, restated, uses_of
from refute.judge.remeasure.measure_again import measure_again
from refute.judge.run.facts import Signer
from refute.judge.run.folder import BUNDLE_FILE, VERDICT_FILE, EvidenceLine, RunFolder
from refute.judge.run.own_copies import strangers
from refute.judge.run.required import unmet
from refute.judge.run.sequence import next_sequence
from refute.judge.subject import lay_out_subject
from refute.lock.file import checked_pem
from refute.lock.preregistration import conduct_of, preregistration
from refute.outcome import Outcome, Record, Ruling
from refute.spec.criteria import Spec, parse_spec
from refute.spec.fields import utc_now
from refute.spec.files import parse_release
from refute.spec.policy import LoadedPolicy
from refute.spec.texts import PolicyText
from refute.spec.waiver import WaiverFile

VERIFIER = "refute"


_NO_WAIVERS = WaiverFile()


@dataclass(frozen=True, slots=True)
class Judged:
    """A signed verdict on disk."""

    predicate: Predicate
    payload_sha256: str
    path: Path


def judge_run(
    run: RunFolder,
    key: PrivateKey,
    *,
    development: bool,
    waivers: WaiverFile = _NO_WAIVERS,
    policy: LoadedPolicy | None = None,
    lock_keys: Sequence[bytes] = (),
    sequence: int | None = None,
    falsifiers: Sequence[Path] | None = None,
    store: Path | None = None,
    specs_and_releases: Sequence[Path] | None = None,
    found: Sequence[str] = (),
) -> Judged:
    """Judge the records of `run`, sign the verdict with `key`, and write it into the run folder.

    A `policy` says who may waive; its text is signed with the verdict.
    A lock counts when one of `lock_keys` (PEM) signed it; without any, the public half of `key` must have.
    `sequence` numbers the verdict among those of its release; left out, it is the next one of the run's siblings.
    With `falsifiers`, folders of falsifier files, everything is measured again, apart from this process, before GO or
    WARN is signed; without, the records are taken as true measurements. `store` is where the evidence lies, if not
    where the run noted it. With `specs_and_releases`, files or folders, the run must have been asked by copies of them.
    `found` are sentences about the run that no verdict can pass over.

    Raises UsageError for a folder that is no run or a sequence already passed, SpecError when the texts in run.json
    do not parse, EvidenceError when evidence.jsonl or the evidence cannot be read, VerificationError when run.json
    contradicts itself: what would not verify is not signed.
    """
    asked = run.read_run()
    specs = tuple(parse_spec(each.text, each.name) for each in asked.specs)
    release = parse_release(asked.release.text, asked.release.name)
    records, faults = read_records(run.path / "records.jsonl") if _has_records(run) else ((), ())
    lines = run.read_evidence()
    if store is not None:
        lines = {name: _found_in(store, line) for name, line in lines.items()}
    damage = {name: fault for name, line in lines.items() if (fault := _damage(line))}
    uses = uses_of(specs)
    given = tuple(restated(record, uses) for record in _in_spec_order(records, specs))
    records = tuple(
        _broken(record, fault) if (fault := contradiction(record, uses, asked.facts.falsifiers)) else record
        for record in (_checked(record, lines, damage) for record in given)
    )
    sound = {name: line for name, line in lines.items() if name not in damage}
    laid_out = lay_out_subject(asked, release, sound, run)
    faults += (*_refused(given, records), *laid_out.faults, *found)
    if specs_and_releases is not None:
        faults += strangers((*asked.specs, asked.release), specs_and_releases)
    subject = laid_out.subject
    evaluated_at = utc_now()
    signer = Signer(key_id=key_id(public_pem(key)), development=development)
    trusted = tuple(map(checked_pem, lock_keys or [public_pem(key)])) if asked.lock else ()
    evidence = {name: dict(line.files) for name, line in sorted(sound.items())}
    conduct = conduct_of(
        asked.release,
        release,
        asked.specs,
        specs,
        asked.facts.started_at,
        records,
        evidence,
        policy=policy.sha256 if policy else None,
        waived=bool(waivers.waivers),
    )
    at = datetime.fromisoformat(evaluated_at)
    ruling = partial(
        judge,
        specs,
        records,
        policy=policy.policy if policy else None,
        waivers=waivers.waivers,
        malformed_waivers=waivers.malformed,
        at=at,
        release=release,
        subject_sha256=subject.sha256,
        preregistration=preregistration(asked.lock, trusted, conduct),
    )
    required = unmet(release, asked.requires, signer.key_id)
    verdict = ruling(faults=(*faults, *required))
    # What stops a release anyway needs no second look.
    again = falsifiers is not None and verdict.ruling is not Ruling.NO_GO
    if falsifiers is not None and again:
        faults += measure_again(run, specs, records, sound, falsifiers)
        verdict = ruling(faults=(*faults, *required))
    engines = release.distillation is not None
    with next_sequence(run.path.parent, release.release, sequence) as number:
        predicate = Predicate(
            verdict=verdict,
            identity=identify(release, asked.facts.id, number, at, verdict, waivers.waivers, subject.sha256),
            coverage=cover(
                specs, records, verdict, registered=asked.facts.falsifiers, deselected=run.read_deselected()
            ),
            subject=subject,
            model=laid_out.model,
            release=asked.release,
            specs=asked.specs,
            records=records,
            record_faults=faults,
            policy=PolicyText(name=policy.path.name, sha256=policy.sha256, text=policy.text) if policy else None,
            waivers=waivers.waivers,
            malformed_waivers=waivers.malformed,
            evidence=evidence,
            run=asked.facts,
            signer=signer,
            evaluated_at=evaluated_at,
            verifier=VERIFIER,
            verifier_version=version(VERIFIER),
            remeasured=again,
            lock=asked.lock,
            lock_keys=trusted,
            requires=asked.requires,
            inputs=gather_inputs(sound) if engines else Inputs(),
            exhibits=exhibits(sound, records) if engines else Exhibits(),
        )
        return _sign_and_write(predicate, key, run)


def _has_records(run: RunFolder) -> bool:
    return (run.path / "records.jsonl").exists()


def _sign_and_write(predicate: Predicate, key: PrivateKey, run: RunFolder) -> Judged:
    recompute(predicate)
    content = parse_json(predicate.model_dump_json().encode())
    if not isinstance(content, dict):
        raise TypeError("a predicate is a JSON object")
    payload = build_statement(predicate.subject.name, predicate.subject.sha256, content)
    envelope = sign_envelope(payload, PAYLOAD_TYPE, [key])
    path = run.path / VERDICT_FILE
    _write(path, envelope)
    _write(run.path / BUNDLE_FILE, write_bundle(envelope, predicate, sha256_hex(payload), [key]))
    (run.path / "verifier.pem").write_bytes(public_pem(key))
    return Judged(predicate, sha256_hex(payload), path)


def _write(path: Path, data: bytes) -> None:
    staged = path.with_name(f".{path.name}.part")
    staged.write_bytes(data)
    staged.replace(path)


def _in_spec_order(records: Sequence[Record], specs: Sequence[Spec]) -> tuple[Record, ...]:
    """Records as the specs list them, so that a parallel run gives the same bytes; strangers last."""
    places = {
        (spec.spec, criterion.id, use.id): number
        for number, (spec, criterion, use) in enumerate(
            (spec, criterion, use) for spec in specs for criterion in spec.criteria for use in criterion.falsifiers
        )
    }
    return tuple(sorted(records, key=lambda r: places.get((r.spec, r.criterion, r.falsifier), len(places))))


def _found_in(store: Path, line: EvidenceLine) -> EvidenceLine:
    """The evidence as it lies in `store`, such as a copy on another machine. Raises EvidenceError without it."""
    return line.model_copy(update={"folder": str(Store(store).view(line.name, line.files))})


def _damage(line: EvidenceLine) -> str:
    """What is wrong with a piece of evidence, every file hashed again; empty when it is what was recorded."""
    if manifest_digest(line.files) != line.digest:
        return f"the manifest of evidence {line.name!r} does not give its digest {line.digest}"
    for file, digest in sorted(line.files.items()):
        path = Path(line.folder) / file
        found = file_sha256(path) if path.is_file() else "nothing"
        if found != digest:
            return f"evidence {line.name}/{file} should have SHA-256 {digest}, found {found}"
    return ""


def _checked(record: Record, lines: Mapping[str, EvidenceLine], damage: Mapping[str, str]) -> Record:
    """The record, or an error in its place when it rests on evidence that is not there or was changed."""
    for name, digest in record.evidence:
        if name not in lines:
            return _broken(record, f"cites evidence {name!r}, which this run did not note")
        if lines[name].digest != digest:
            return _broken(record, f"cites evidence {name!r} with digest {digest}, the run noted {lines[name].digest}")
        if name in damage:
            return _broken(record, damage[name])
    known = {digest for name, _ in record.evidence for digest in lines[name].files.values()}
    for measurement in record.measurements:
        strange = sorted(set(measurement.evidence) - known)
        if strange:
            return _broken(
                record, f"measurement {measurement.name!r} cites {strange[0]}, a file of no evidence it names"
            )
    return record


def _refused(given: Sequence[Record], checked: Sequence[Record]) -> tuple[str, ...]:
    """A sentence for each record that was replaced: changed files are nobody's `info`."""
    return tuple(
        f"the record of {now.falsifier} was refused: {now.reason}"
        for before, now in zip(given, checked, strict=True)
        if now is not before
    )


def _broken(record: Record, reason: str) -> Record:
    return replace(record, outcome=Outcome.ERROR, reason=reason, measurements=())
