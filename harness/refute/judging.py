"""A finished run -> signed verdict and reports. Runs in its own process; trusts nothing but files it hashes again."""

from __future__ import annotations

import shutil
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
    file_digest,
    hash_model,
    key_id,
    parse_json,
    public_pem,
    sha256_hex,
    sign_envelope,
)
from refute.evidence import Store, file_sha256, link_or_copy, manifest_digest
from refute.exhibits import exhibits
from refute.judge import judge
from refute.outcome import Outcome, Record, Ruling
from refute.own_copies import strangers
from refute.predicate import Exhibits, Predicate, Signer, Subject
from refute.records import read_records
from refute.release import Release
from refute.release_file import parse_release
from refute.remeasure import measure_again
from refute.report import REPORTS
from refute.run_folder import VERDICT_FILE, EvidenceLine, RunFile, RunFolder, utc_now
from refute.spec import Spec, parse_spec
from refute.verification import recompute
from refute.waiver import Waiver

VERIFIER = "refute"


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
    waivers: Sequence[Waiver] = (),
    falsifiers: Sequence[Path] | None = None,
    store: Path | None = None,
    specs_and_releases: Sequence[Path] | None = None,
) -> Judged:
    """Judge the records of `run`, sign the verdict with `key`, and write it and its reports into the run folder.

    With `falsifiers`, folders of falsifier files, everything is measured again, apart from this process, before GO or
    WARN is signed; without, the records are taken as true measurements. `store` is where the evidence lies, if not
    where the run noted it. With `specs_and_releases`, files or folders, the run must have been asked by copies of them.

    Raises UsageError for a folder that is no run, SpecError when the texts in run.json do not parse, EvidenceError
    when evidence.jsonl cannot be read, VerificationError when run.json contradicts itself: what would not verify
    is not signed.
    """
    asked = run.read_run()
    specs = tuple(parse_spec(each.text, each.name) for each in asked.specs)
    release = parse_release(asked.release.text, asked.release.name)
    records, faults = read_records(run.path / "records.jsonl") if _has_records(run) else ((), ())
    lines = run.read_evidence()
    if store is not None:
        lines = {name: _found_in(store, line) for name, line in lines.items()}
    damage = {name: fault for name, line in lines.items() if (fault := _damage(line))}
    given = _in_spec_order(records, specs)
    records = tuple(_checked(record, lines, damage) for record in given)
    sound = {name: line for name, line in lines.items() if name not in damage}
    faults += _refused(given, records) + _no_subject(release, sound)
    if specs_and_releases is not None:
        faults += strangers((*asked.specs, asked.release), specs_and_releases)
    subject = _subject(asked, release, sound, run)
    evaluated_at = utc_now()
    ruling = partial(
        judge,
        specs,
        records,
        waivers=waivers,
        at=datetime.fromisoformat(evaluated_at),
        release=release,
        subject_sha256=subject.sha256,
    )
    verdict = ruling(faults=faults)
    # What stops a release anyway needs no second look.
    again = falsifiers is not None and verdict.ruling is not Ruling.NO_GO
    if falsifiers is not None and again:
        faults += measure_again(run, specs, records, sound, falsifiers)
        verdict = ruling(faults=faults)
    predicate = Predicate(
        verdict=verdict,
        subject=subject,
        release=asked.release,
        specs=asked.specs,
        records=records,
        record_faults=faults,
        waivers=tuple(waivers),
        evidence={name: dict(line.files) for name, line in sorted(sound.items())},
        run=asked.facts,
        signer=Signer(key_id=key_id(public_pem(key)), development=development),
        evaluated_at=evaluated_at,
        verifier=VERIFIER,
        verifier_version=version(VERIFIER),
        remeasured=again,
        exhibits=exhibits(sound, records) if release.distillation is not None else Exhibits(),
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
    (run.path / "verifier.pem").write_bytes(public_pem(key))
    digest = sha256_hex(payload)
    for suffix, report in REPORTS.items():
        _write(run.path / f"report.{suffix}", report.render(predicate, digest).encode())
    return Judged(predicate, digest, path)


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


def _no_subject(release: Release, lines: Mapping[str, EvidenceLine]) -> tuple[str, ...]:
    if release.subject is None or release.subject in lines:
        return ()
    return (f"the release's subject {release.subject!r} is not among this run's evidence",)


def _broken(record: Record, reason: str) -> Record:
    return replace(record, outcome=Outcome.ERROR, reason=reason, measurements=())


def _subject(asked: RunFile, release: Release, lines: Mapping[str, EvidenceLine], run: RunFolder) -> Subject:
    """What the verdict is about, laid out as `subject/` in the run folder so that anyone can hash it again."""
    line = lines.get(release.subject or "")
    if line is None:
        name = f"{release.release} (no model was produced)" if release.subject else release.release
        return Subject(kind="release_file", name=name, sha256=asked.release.sha256)
    model = {name.removeprefix("model/") for name in line.files if name.startswith("model/")}
    source = Path(line.folder) / "model" if model else Path(line.folder)
    files = sorted(model or line.files)
    folder = run.path / "subject"
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source / file, folder / file)
    if len(files) == 1:
        return Subject(kind="evidence_file", name=files[0], sha256=file_digest(folder / files[0]))
    manifest = hash_model(folder)
    return Subject(
        kind="model_folder",
        name=release.subject or "",
        sha256=manifest.root_digest,
        manifest_sha256=manifest.manifest_digest,
    )
