"""`refute consume` around its engines: what must hold before a model is used, and what is signed of it afterwards."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from refute.attest import PrivateKey, key_id, public_pem
from refute.attest.signing_key import open_signing_key, read_public_key
from refute.disk import create_file, writing
from refute.errors import UnreadableInputError, UsageError
from refute.judge.predicate.engine import Engine, identify_engine
from refute.judge.subject import FOLDER as RUN_FOLDER
from refute.outcome import Ruling
from refute.spec.fields import first_fault, utc_text
from refute.spec.policy import CONSUMER, LoadedPolicy
from refute.verify.consumer.count import Evidence, dependence, evidence_of
from refute.verify.consumer.statement import (
    Consumption,
    Host,
    Note,
    TriedPath,
    named_path,
    result_of,
    sign_consumption,
)
from refute.verify.hub_model import locate_model, parse_hub_name
from refute.verify.latest import PATTERNS
from refute.verify.model_check import check_model
from refute.verify.operators import take_verdict
from refute.verify.policy_check import require_in_force
from refute.verify.sign_off.statement import facts_of, find_sign_offs, statements_in
from refute.verify.verification import read_verdict


@dataclass(frozen=True, slots=True)
class ConsumeRequest:
    """What the caller asks for. `place` is a model, or a verdict with its model beside it; `key` a PEM file or a URI;
    `verdict_keys` are trusted for the verdict. With `withdraw` nothing is used, and what was said is taken back."""

    place: str
    verdict: Path | None
    key: str
    public_key: Path | None
    passphrase_file: Path | None
    verdict_keys: tuple[Path, ...]
    policy: Path | None
    note: str
    valid_days: int
    out: Path | None
    withdraw: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A model that is the one that a trusted verdict is about, and whoever is to use it; `out` is still free.

    `engine` is the refute that looked.
    """

    model: Path
    evidence: Evidence
    key: PrivateKey
    out: Path
    engine: Engine
    request: ConsumeRequest


@dataclass(frozen=True, slots=True)
class Consumed:
    """A statement on disk."""

    path: Path
    content: Consumption
    key_id: str
    verdict_sha256: str

    def as_json(self) -> dict[str, object]:
        """For programs."""
        said = self.content.model_dump(mode="json", exclude={"engine", "note"})
        return {"statement": str(self.path), "key_id": self.key_id, "payload_sha256": self.verdict_sha256, **said}


def prepare(request: ConsumeRequest) -> Ready:
    """Everything that can be refused before a model is loaded, which takes long.

    Raises UsageError for a note that cannot be signed, a place without a verdict, a NO-GO, a key that may not speak as
    a consumer, or a file in the way; VerificationError for a verdict that is not to be trusted; StaleVerdictError for
    one that was withdrawn or expired, or is about another model; and what opening key, policy and hub raises.
    """
    _require_note(request.note)
    place, verdict = _find(request)
    taken = take_verdict(verdict, [read_public_key(path) for path in request.verdict_keys], request.policy)
    files = {str(path): read_verdict(path) for path in find_sign_offs(verdict)[0]} | statements_in(verdict, taken.data)
    require_in_force(taken.verified, taken.data, None, files, given_keys=taken.trusted)
    model = place if place is not None else _beside(verdict, taken.verified.predicate.subject.name)
    if not request.withdraw:
        check_model(taken.verified.predicate, model)
    key = open_signing_key(request.key, request.public_key, request.passphrase_file)
    evidence = evidence_of(taken.verified, taken.data, files)
    _refuse(key, evidence, taken.policy, taken.trusted)
    if taken.verified.predicate.verdict.ruling is Ruling.NO_GO:
        raise UsageError("the verdict is NO-GO, and nobody's use makes it good", hint="use a model that was judged GO")
    hub = parse_hub_name(request.place) is not None
    folder = Path() if hub and request.verdict is None else verdict.parent
    out = request.out or named_path(folder, key, "withdrawn" if request.withdraw else "used")
    _require_free(out, model)
    return Ready(model, evidence, key, out, identify_engine(), request)


def sign_use(ready: Ready, prompt: str, paths: Sequence[Mapping[str, object]], not_run: Mapping[str, str]) -> Consumed:
    """Sign what was tried (fields of `TriedPath`), or the withdrawal, and write it.

    Raises UsageError where a file is in the way by now, and as `disk.unwritable` says.
    """
    request, now = ready.request, datetime.now(UTC)
    tried = tuple(TriedPath.model_validate(path) for path in paths)
    content = Consumption(
        result="withdrawn" if request.withdraw else result_of(tried),
        verdict=facts_of(ready.evidence.verified),
        prompt=prompt,
        paths=tried,
        not_run=dict(not_run),
        host=Host(platform=platform.platform(), python=platform.python_version(), cpus=os.cpu_count() or 1),
        engine=ready.engine,
        note=request.note,
        signed_at=utc_text(now),
        valid_until=utc_text(now + timedelta(days=request.valid_days)),
    )
    verdict = ready.evidence.verified.payload_sha256
    data = sign_consumption(content, verdict, ready.key)
    with writing(ready.out, hint="make room, or name another file with --out"):
        written = create_file(ready.out, data, 0o644)
    if not written:
        raise _in_the_way(ready.out)
    return Consumed(ready.out, content, key_id(public_pem(ready.key)), verdict)


def _require_note(note: str) -> None:
    try:
        TypeAdapter(Note).validate_python(note, strict=True)
    except ValidationError as error:
        raise UsageError(f"this note cannot be signed: {first_fault(error)}", hint="say it in fewer words") from error


def _find(request: ConsumeRequest) -> tuple[Path | None, Path]:
    """The model, None where the verdict says what it is called, and the verdict."""
    place = locate_model(request.place)
    if request.verdict is not None:
        return place, request.verdict
    if not place.exists():
        raise UnreadableInputError(
            f"there is nothing at {place}", hint="name a folder, a verdict or hub:ORG/NAME@COMMIT"
        )
    if place.is_file():
        return None, place
    found = sorted({path for pattern in PATTERNS for path in place.glob(pattern) if path.is_file()})
    if len(found) != 1:
        named = ", ".join(path.name for path in found) or "none"
        raise UsageError(f"{place} holds {len(found)} verdicts ({named}), expected one", hint="name it with --verdict")
    return place, found[0]


def _beside(verdict: Path, subject: str) -> Path:
    """The model beside its verdict, by the name that the verdict gives it or that a run does, or around it, as it is
    published."""
    names = [Path(subject).name, RUN_FOLDER]
    return next((each for name in names if name and (each := verdict.parent / name).exists()), verdict.parent)


def _refuse(key: PrivateKey, evidence: Evidence, policy: LoadedPolicy | None, operators: Sequence[bytes]) -> None:
    """Say now what `refute verify` would say later."""
    own = public_pem(key)
    trusted = "this key is one that you trust for verdicts" if key_id(own) in map(key_id, operators) else ""
    if fault := trusted or dependence(own, evidence):
        raise UsageError(fault, hint="a consumer signs with a key of their own: refute keygen NAME")
    if policy is None or CONSUMER not in policy.policy.roles:
        return
    known = [each for each in policy.keys_of(CONSUMER) if each.id == key_id(own)]
    if not known:
        raise UsageError(
            f"the policy does not list this key ({key_id(own)[:16]}…) as {CONSUMER}",
            hint="sign with a key that it lists, or have this one added to its consumers",
        )
    if fault := known[0].fault_at(utc_text(datetime.now(UTC))):
        raise UsageError(f"the key of {known[0].name} {fault}", hint="sign with a key that counts")


def _require_free(out: Path, model: Path) -> None:
    """Before the work, and not after it."""
    if out.exists():
        raise _in_the_way(out)
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent} to write to", hint="make it, or name another with --out")
    folder, published = out.parent.resolve(), model.resolve()
    inside = model.is_dir() and folder.is_relative_to(published)
    if inside and not (out.name.endswith(".sigstore.json") and folder == published):
        raise UsageError(f"{out} would become a file of the model", hint="name a place outside of it with --out")


def _in_the_way(out: Path) -> UsageError:
    return UsageError(
        f"{out} exists already, and a statement is never overwritten", hint="keep it, or name another place with --out"
    )
