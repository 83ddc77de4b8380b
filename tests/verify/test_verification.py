"""A signed verdict is judged again: whatever in it contradicts anything else, the signature does not save it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    generate_key,
    load_private_key,
    public_pem,
    sign_envelope,
)
from refute.errors import MissingInputsError, StaleVerdictError, VerificationError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.verify.verification import Verified, verify_verdict

MakeRun = Callable[..., RunFolder]
Content = dict[str, Any]


def forge(judged: Judged, key: PrivateKey, change: Callable[[Content], object]) -> bytes:
    """The same verdict with a change, signed with the same key."""
    content: Content = json.loads(judged.predicate.model_dump_json())
    change(content)
    subject = content["subject"]
    payload = build_statement(subject["name"], judged.predicate.subject.sha256, content)
    return sign_envelope(payload, PAYLOAD_TYPE, [key])


def test_nothing_changed_verifies(judged: Judged, key: PrivateKey) -> None:
    """Signing the same content again gives what verifies; what was not compared is said."""
    verified = verify_verdict(forge(judged, key, lambda content: None), [public_pem(key)])
    assert verified == Verified(judged.predicate, judged.payload_sha256, verified.checks)
    assert verified.checks[:2] == ("signed by a trusted key", "judged again from 2 signed records: GO")
    assert "model not compared: give --model" in verified.checks
    assert "evidence not re-hashed: give --store" in verified.checks


def lower_the_bar(content: Content) -> None:
    """The spec's text is another than the one that was hashed."""
    content["specs"][0]["text"] = content["specs"][0]["text"].replace(">= 80 %", ">= 99 %")


def lower_the_bar_and_hash(content: Content) -> None:
    """The same with the right digest: now the records do not give the verdict."""
    lower_the_bar(content)
    text = content["specs"][0]["text"]
    content["specs"][0]["sha256"] = hashlib.sha256(text.encode()).hexdigest()


def take_a_spec(content: Content) -> None:
    """A spec less to satisfy."""
    content["specs"] = []


def take_a_record(content: Content) -> None:
    """A record less."""
    content["records"].pop()


def better_number(content: Content) -> None:
    """A number that never was."""
    content["records"][0]["measurements"][0].update(value=10.0, interval=None)


def another_title(content: Content) -> None:
    """A detail of the verdict that its records do not give."""
    content["verdict"]["criteria"][0]["title"] = "Everything"


def worse_ruling(content: Content) -> None:
    """A GO called NO-GO is no more honest."""
    content["verdict"]["ruling"] = "NO-GO"


def hide_a_fault(content: Content) -> None:
    """A fault that the verdict does not mention."""
    content["record_faults"] = ["records.jsonl line 3 is not a record"]


def waive(content: Content) -> None:
    """A waiver that the verdict does not mention."""
    content["waivers"] = [
        {"criterion": "AC-TINY-001", "subject_sha256": "0" * 64, "approver": "A", "reason": "r", "expires_at": "x"}
    ]


def raise_the_class(content: Content) -> None:
    """A quick run called a full one."""
    content["release"]["run_class"] = "full"


def rename_the_release(content: Content) -> None:
    """A release of another name."""
    content["release"]["id"] = "qwen"


def take_the_evidence(content: Content) -> None:
    """Nothing left to hash."""
    content["evidence"] = {}


def swap_the_evidence(content: Content) -> None:
    """A manifest that is not the one that the record rests on."""
    content["evidence"]["answers"]["answers.jsonl"] = "0" * 64


def cite_a_stranger(content: Content) -> None:
    """A number from a file that is in no evidence."""
    content["records"][0]["measurements"][0]["evidence"] = ["0" * 64]


def add_a_key(content: Content) -> None:
    """A key that nobody reads."""
    content["approved"] = True


def drop_a_key(content: Content) -> None:
    """A key that everybody needs."""
    del content["run"]


def no_zone(content: Content) -> None:
    """A moment that could be any of a day's."""
    content["evaluated_at"] = "2026-01-01T00:00:00"


def no_time(content: Content) -> None:
    """No moment at all."""
    content["evaluated_at"] = "yesterday"


def another_subject(content: Content) -> None:
    """The statement speaks of one thing, the predicate of another."""
    content["subject"]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lower_the_bar, "has SHA-256"),
        (lower_the_bar_and_hash, "its own records give NO-GO"),
        (take_a_spec, "its own records give NO-GO"),
        (take_a_record, "its own records give NO-GO"),
        (better_number, "its own records give NO-GO"),
        (another_title, "details differ"),
        (worse_ruling, "signed verdict is NO-GO, but its own records give GO"),
        (hide_a_fault, "its own records give NO-GO"),
        (waive, "waivers.0.expires_at"),
        (raise_the_class, "differs from what its own text says"),
        (rename_the_release, "differs from what its own text says"),
        (take_the_evidence, "rests on evidence 'answers'"),
        (swap_the_evidence, "rests on evidence 'answers'"),
        (cite_a_stranger, "cites 0000"),
        (add_a_key, "approved: "),
        (drop_a_key, "run: "),
        (no_zone, "names no time zone"),
        (no_time, "is no time"),
        (another_subject, "statement's subject is not the predicate's"),
    ],
)
def test_a_forged_verdict_is_refused(
    judged: Judged, key: PrivateKey, change: Callable[[Content], object], message: str
) -> None:
    """Signed with a trusted key, and yet not what an honest judge would have signed."""
    with pytest.raises(VerificationError, match=message) as caught:
        verify_verdict(forge(judged, key, change), [public_pem(key)])
    assert not isinstance(caught.value, StaleVerdictError)


def test_another_key_is_not_trusted(judged: Judged, tmp_path: Path) -> None:
    """The right content, a key that nobody named; and no key at all."""
    other = load_private_key(generate_key(tmp_path / "keys", "other").private)
    with pytest.raises(VerificationError):
        verify_verdict(judged.path.read_bytes(), [public_pem(other)])
    with pytest.raises(VerificationError):
        verify_verdict(judged.path.read_bytes(), [])


def test_a_changed_byte_is_refused(judged: Judged, key: PrivateKey) -> None:
    """Anywhere in the signed payload."""
    envelope = json.loads(judged.path.read_bytes())
    payload = envelope["payload"]
    for place in range(0, len(payload) - 4, len(payload) // 7):
        changed = payload[:place] + ("A" if payload[place] != "A" else "B") + payload[place + 1 :]
        with pytest.raises(VerificationError):
            verify_verdict(json.dumps({**envelope, "payload": changed}).encode(), [public_pem(key)])


@pytest.mark.parametrize(
    ("age", "max_age", "stale"),
    [
        (timedelta(days=3), None, False),
        (timedelta(days=3), timedelta(days=3, minutes=1), False),
        (timedelta(days=3), timedelta(days=2), True),
        (timedelta(minutes=-4), None, False),
        (timedelta(minutes=-6), None, True),
    ],
)
def test_age_is_counted_from_the_judgement(
    judged: Judged, key: PrivateKey, age: timedelta, max_age: timedelta | None, stale: bool
) -> None:
    """Older than allowed, or from the future by more than clocks differ, is stale."""
    at = datetime.fromisoformat(judged.predicate.evaluated_at).astimezone(UTC) + age
    if stale:
        with pytest.raises(StaleVerdictError, match=r"older than|in the future"):
            verify_verdict(judged.path.read_bytes(), [public_pem(key)], at=at, max_age=max_age)
    else:
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], at=at, max_age=max_age)


def test_a_verdict_about_something_else_is_stale(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """Another release, another model: authentic, and no help here."""
    envelope, keys = judged.path.read_bytes(), [public_pem(key)]
    verify_verdict(envelope, keys, expected_release="tiny", model=tmp_path / "answers.jsonl")
    with pytest.raises(StaleVerdictError, match="about release 'tiny', expected 'other'"):
        verify_verdict(envelope, keys, expected_release="other")
    (tmp_path / "other.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(StaleVerdictError, match="are not those that were judged"):
        verify_verdict(envelope, keys, model=tmp_path / "other.jsonl")
    with pytest.raises(MissingInputsError, match="cannot read the model"):
        verify_verdict(envelope, keys, model=tmp_path / "absent.jsonl")


@pytest.mark.slow
def test_a_model_folder_is_bound_by_contents_and_names(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """A changed weight and a renamed file are told apart, and neither is the model that was judged."""
    folder = tmp_path / "mine" / "model"
    folder.mkdir(parents=True)
    for name in ("a.json", "b.safetensors"):
        (folder / name).write_text(name, encoding="utf-8")
    release = (
        "release: tiny\ntitle: Tiny answers\nrun_class: quick\noperator: nobody\nsubject: student\n"
        "evidence: {answers: answers.jsonl, notes: notes.json, student: mine}\n"
    )
    judged = judge_run(make_run(release=release, also=("student",)), Operator(key, development=False))
    envelope, keys = judged.path.read_bytes(), [public_pem(key)]
    assert any("is the one that was judged" in check for check in verify_verdict(envelope, keys, model=folder).checks)
    (folder / "b.safetensors").rename(folder / "c.safetensors")
    with pytest.raises(StaleVerdictError, match="the file names of"):
        verify_verdict(envelope, keys, model=folder)
    (folder / "c.safetensors").rename(folder / "b.safetensors")
    (folder / "b.safetensors").write_text("changed", encoding="utf-8")
    with pytest.raises(StaleVerdictError, match="the files of"):
        verify_verdict(envelope, keys, model=folder)


@pytest.mark.parametrize("damage", [b"changed", None])
def test_evidence_in_the_store_is_hashed_again(
    judged: Judged, key: PrivateKey, tmp_path: Path, damage: bytes | None
) -> None:
    """A file that was changed or taken away after the verdict is named with both digests."""
    digest = judged.predicate.evidence["notes"]["notes.json"]
    path = tmp_path / "store" / "objects" / digest[:2] / digest
    verify_verdict(judged.path.read_bytes(), [public_pem(key)], store=tmp_path / "store")
    path.chmod(0o644)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(VerificationError, match=rf"evidence notes/notes\.json should have SHA-256 {digest}, found"):
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], store=tmp_path / "store")


@pytest.mark.slow
def test_a_verdict_about_no_model_matches_none(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """Nothing was produced: whatever model is shown, the verdict is not about it."""
    release = "release: tiny\ntitle: Tiny answers\nrun_class: quick\noperator: nobody\nsubject: student\n"
    run = make_run(release=release + "evidence: {answers: answers.jsonl, notes: notes.json}\n")
    judged = judge_run(run, Operator(key, development=False))
    with pytest.raises(StaleVerdictError, match="about no model"):
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], model=tmp_path / "answers.jsonl")
