"""`refute verify` on verdicts that were changed, or are about something else: 4 not verifiable, 5 wrong or stale."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refute.attest import PAYLOAD_TYPE, generate_key, load_private_key, sign_envelope
from refute.errors import StaleVerdictError
from refute.verify.verification import verify_verdict

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.gate.conftest import Honest

pytestmark = pytest.mark.exhaustive

Json = dict[str, Any]


@pytest.fixture
def verdict(honest: Honest, tmp_path: Path) -> Path:
    """A copy of the signed GO."""
    copy = tmp_path / "verdict.intoto.json"
    copy.write_bytes((honest.repo.run / copy.name).read_bytes())
    return copy


@pytest.fixture
def key(honest: Honest) -> Path:
    """The public key that signed it."""
    return honest.repo.keys / "development.pub"


def payload_of(verdict: Path) -> bytes:
    """The signed bytes."""
    return base64.b64decode(json.loads(verdict.read_bytes())["payload"])


def edit_envelope(verdict: Path, **members: object) -> None:
    """Replace members of the envelope, its signatures left alone."""
    verdict.write_text(json.dumps(json.loads(verdict.read_bytes()) | members), encoding="utf-8")


def edited(verdict: Path, change: Callable[[Json], object]) -> bytes:
    """The payload with its predicate changed."""
    statement = json.loads(payload_of(verdict))
    change(statement["predicate"])
    return json.dumps(statement).encode()


def flip(data: bytes) -> str:
    """One bit changed, as base64."""
    return base64.b64encode(data[:200] + bytes([data[200] ^ 1]) + data[201:]).decode()


CHANGES: dict[str, Callable[[Json], object]] = {
    "a value": lambda predicate: predicate["records"][0]["measurements"][0].update(value=5.0, interval=None),
    "a record less": lambda predicate: predicate["records"].pop(),
    "a bar": lambda predicate: predicate["specs"][0].update(text=predicate["specs"][0]["text"].replace("80", "81")),
    "a reason": lambda predicate: predicate["verdict"].update(reasons=["splendid"]),
    "the subject": lambda predicate: predicate["subject"].update(sha256="0" * 64),
    "the title": lambda predicate: predicate["release"].update(title="Another model"),
    "an unknown key": lambda predicate: predicate.update(approved=True),
    "the moment": lambda predicate: predicate.update(evaluated_at="some time"),
}


def test_the_untouched_verdict_verifies(honest: Honest, verdict: Path, key: Path, cli: Cli) -> None:
    """With key, model, store, release and age given, everything holds: status 0, and --json says what was checked."""
    store, model = honest.repo.path / ".refute/store", honest.repo.path / "evidence/answers.jsonl"
    options = ("--model", model, "--store", store, "--release", "example", "--max-age-days", 1)
    ended = cli("verify", verdict, "--key", key, *options, "--json")
    shown = json.loads(ended.stdout)
    assert (ended.returncode, shown["verdict"], len(shown["checks"])) == (0, "GO", 8)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_payload_is_not_verifiable(verdict: Path, key: Path, cli: Cli, name: str) -> None:
    """An edited payload under the old signature is refused with status 4 and the hint that it was changed."""
    edit_envelope(verdict, payload=base64.b64encode(edited(verdict, CHANGES[name])).decode())
    ended = cli("verify", verdict, "--key", key)
    assert ended.returncode == 4
    assert "was changed after signing" in ended.stderr


@pytest.mark.parametrize("name", CHANGES)
def test_a_signature_of_a_trusted_key_does_not_make_it_true(honest: Honest, verdict: Path, cli: Cli, name: str) -> None:
    """Even signed by a trusted key, a payload that contradicts itself is refused with status 4."""
    private = load_private_key(honest.repo.keys / "development.key")
    verdict.write_bytes(sign_envelope(edited(verdict, CHANGES[name]), PAYLOAD_TYPE, [private]))
    ended = cli("verify", verdict, "--key", honest.repo.keys / "development.pub")
    assert ended.returncode == 4
    assert "signed by none" not in ended.stderr


def test_one_flipped_bit_is_enough(verdict: Path, key: Path, cli: Cli) -> None:
    """A bit changed in the payload: status 4."""
    edit_envelope(verdict, payload=flip(payload_of(verdict)))
    assert cli("verify", verdict, "--key", key).returncode == 4


def test_another_key_is_not_believed(verdict: Path, tmp_path: Path, cli: Cli) -> None:
    """A verdict of a key that the caller does not trust: status 4."""
    ended = cli("verify", verdict, "--key", generate_key(tmp_path, "other").public)
    assert ended.returncode == 4
    assert "signed by none of the 1 trusted key" in ended.stderr


def test_a_private_key_is_not_taken_for_a_public_one(honest: Honest, verdict: Path, cli: Cli) -> None:
    """--key with the private half: status 2 and the hint which file was meant."""
    ended = cli("verify", verdict, "--key", honest.repo.keys / "development.key")
    assert (ended.returncode, "give the .pub file" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--release", "embedded"), "about release 'example', expected 'embedded'"),
        (("--max-age-days", "0"), "older than the 0 days allowed"),
        (("--model", "OTHER"), "are not those that were judged"),
    ],
)
def test_a_verdict_about_something_else_is_stale(
    verdict: Path, key: Path, tmp_path: Path, cli: Cli, options: tuple[str, str], message: str
) -> None:
    """Authentic, but of another release, too old, or about another model: status 5."""
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n", encoding="utf-8")
    ended = cli("verify", verdict, "--key", key, options[0], str(other) if options[1] == "OTHER" else options[1])
    assert (ended.returncode, message in ended.stderr) == (5, True), ended.stderr


def test_a_verdict_from_the_future_is_stale(verdict: Path, key: Path) -> None:
    """Dated more than five minutes after the moment of checking, it is refused; a clock slightly off is not."""
    now = datetime.now(UTC)
    with pytest.raises(StaleVerdictError, match="lies in the future"):
        verify_verdict(verdict.read_bytes(), [key.read_bytes()], at=now - timedelta(days=1))
    verify_verdict(verdict.read_bytes(), [key.read_bytes()], at=now, max_age=timedelta(days=1))


def test_changed_evidence_is_found(honest: Honest, verdict: Path, key: Path, tmp_path: Path, cli: Cli) -> None:
    """--store hashes every file that the verdict names: one that is missing or differs gives status 4 and its name."""
    ended = cli("verify", verdict, "--key", key, "--store", tmp_path)
    assert (ended.returncode, "evidence answers/answers.jsonl" in ended.stderr) == (4, True)
    source = next((honest.repo.path / ".refute/store/objects").glob("*/*"))
    copy = tmp_path / "objects" / source.parent.name / source.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(source.read_bytes() + b"\n")
    ended = cli("verify", verdict, "--key", key, "--store", tmp_path)
    assert (ended.returncode, "found nothing" in ended.stderr) == (4, False)


@pytest.mark.parametrize("missing", ["verdict", "key", "model"])
def test_a_file_that_is_not_there_is_a_usage_error(verdict: Path, key: Path, cli: Cli, missing: str) -> None:
    """A path that cannot be read gives status 2 and its name, not a traceback."""
    paths = {"verdict": verdict, "key": key, "model": verdict} | {missing: verdict.parent / "absent"}
    ended = cli("verify", paths["verdict"], "--key", paths["key"], "--model", paths["model"])
    assert (ended.returncode, "absent" in ended.stderr) == (2, True)
