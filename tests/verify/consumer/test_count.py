"""Consumers' statements: an honest one counts, and everything else is refused with its own cause."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consuming import Change, Consuming, Content
from refute.attest import load_private_key, open_envelope
from refute.errors import SpecError, VerificationError
from refute.judge.sign import Judged
from refute.spec.policy import LoadedPolicy, load_policy
from refute.verify.consumer.count import count_consumers, is_consumers, lacking, read_use
from refute.verify.policy_check import require_in_force
from refute.verify.sign_off.statement import SIGN_OFF_TYPE, sign_off_verdict

if TYPE_CHECKING:
    from tests.conftest import Cli


@pytest.fixture
def world(tmp_path: Path, judged: Judged) -> Consuming:
    """An honest GO that nobody has used yet."""
    return Consuming(tmp_path, judged, "judge")


def put(*keys: str | int, value: object) -> Change:
    """Puts `value` in the place that `keys` lead to."""

    def change(content: Content) -> None:
        place: Content = content
        for key in keys[:-1]:
            place = place[key]  # type: ignore[index]  # a list's number is one of the keys
        place[keys[-1]] = value  # type: ignore[index]  # here, too

    return change


def dated(days: float) -> str:
    """So many days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def failed(content: Content) -> None:
    """One of two paths gave no text."""
    bad = {**content["paths"][0], "engine": "transformers", "file": ".", "failed": "KeyError: 'llama'"}
    content.update(result="failed", paths=[*content["paths"], bad])


def with_network(content: Content) -> None:
    """The engine could have fetched something."""
    content["paths"][0]["reached"] = ["1.1.1.1"]
    content["result"] = "failed"


def test_an_honest_statement_counts(world: Consuming) -> None:
    """As a bundle and as the envelope in it; also of a machine whose clock is a minute ahead."""
    said = world.say()
    for data in (said, open_envelope(said), world.say(put("signed_at", value=dated(1 / 1440)))):
        assert read_use(data, world.public("consumer"), world.evidence()).content.result == "used"


@pytest.mark.parametrize(
    ("change", "cause", "message"),
    [
        (failed, "failed", r"use failed: transformers on '\.': KeyError: 'llama'"),
        (with_network, "failed", "not without a network: 1.1.1.1"),
        (put("result", value="failed"), "consumer_form", "it says failed, and its own paths say used"),
        (put("paths", 0, "failed", value="x"), "consumer_form", "it says used, and its own paths say failed"),
        (put("paths", value=[]), "consumer_form", "used by a path at least"),
        (put("paths", 0, "engine", value="vllm"), "consumer_form", "paths.0.engine"),
        (put("paths", 0, "tokens", value="2"), "consumer_form", "paths.0.tokens"),
        (put("decision", value="approve"), "consumer_form", "decision: Extra"),
        (put("note", value="x" * 10_001), "consumer_form", "note"),
        (put("verdict", "subject_sha256", value="0" * 64), "other_model", "model 0000"),
        (put("verdict", "release", value="other"), "other_model", "GO for other"),
        (put("verdict", "ruling", value="WARN"), "other_model", "about WARN"),
        (put("verdict", "ruling", value="NO-GO"), "failed", "about a NO-GO"),
        (put("signed_at", value=dated(1)), "consumer_time", "in the future"),
        (put("signed_at", value="2020-01-01T00:00:00Z"), "consumer_time", "before the verdict"),
        (put("signed_at", value="2026-13-01T00:00:00Z"), "consumer_form", "is no time"),
        (put("valid_until", value=dated(-1)), "consumer_form", "ends before it was signed"),
    ],
)
def test_what_an_own_key_signed_is_still_looked_at(world: Consuming, change: Change, cause: str, message: str) -> None:
    """The signature is the consumer's in every row: content decides."""
    with pytest.raises(VerificationError, match=message) as refused:
        read_use(world.say(change), world.public("consumer"), world.evidence())
    assert refused.value.cause == cause


def test_it_ends_at_its_own_moment(world: Consuming) -> None:
    """As a waiver does: what ends at a moment is not in force at it."""
    said = world.say()
    ends = datetime.fromisoformat(world.honest()["valid_until"])
    assert read_use(said, world.public("consumer"), world.evidence(at=ends - timedelta(hours=1))).payload_sha256
    with pytest.raises(VerificationError, match="it was valid until") as refused:
        read_use(said, world.public("consumer"), world.evidence(at=ends + timedelta(hours=1)))
    assert refused.value.cause == "consumer_time"


def test_another_verdict_another_kind_and_another_signer_are_refused(world: Consuming) -> None:
    """A replay under a second verdict, a sign-off in its place, a stranger's, and one that was changed afterwards."""
    content = json.loads(world.say())
    content["dsseEnvelope"]["payload"] = json.loads(world.say(put("note", value="new")))["dsseEnvelope"]["payload"]
    table = {
        world.say(about="0" * 64): ("about another verdict, 0000", "other_verdict"),
        world.say(kind=SIGN_OFF_TYPE): ("predicateType", "consumer_form"),
        world.say(by="stranger"): ("signed by none of the 1 trusted key", "signature"),
        json.dumps(content).encode(): ("does not fit the contents", "signature"),
        b"{}": ("payload", "consumer_form"),
        b"\xff": ("UTF-8", "consumer_form"),
    }
    for data, (message, cause) in table.items():
        with pytest.raises(VerificationError, match=message) as refused:
            read_use(data, world.public("consumer"), world.evidence())
        assert refused.value.cause == cause


def test_who_signed_or_reviewed_the_verdict_is_no_consumer(world: Consuming) -> None:
    """The operator's own key, and one that signed off this verdict; a review of another verdict is no hindrance."""
    with pytest.raises(VerificationError, match="signed the verdict") as refused:
        read_use(world.say(by="judge"), world.public("judge"), world.evidence())
    assert refused.value.cause == "not_independent"
    world.public("consumer")
    own = load_private_key(world.root / "keys/consumer.key")
    asked = {"role": "owner", "decision": "reject", "note": "no", "at": dated(0)}
    review = sign_off_verdict(world.verified, own, **asked)  # type: ignore[arg-type]  # its own keywords
    with pytest.raises(VerificationError, match="signed off the verdict, in 'review'") as refused:
        read_use(world.say(), world.public("consumer"), world.evidence({"review": review}))
    assert refused.value.cause == "not_independent"
    other = world.say(about="0" * 64, kind=SIGN_OFF_TYPE)
    assert read_use(world.say(), world.public("consumer"), world.evidence({"review": other})).payload_sha256


def test_what_was_withdrawn_counts_again_after_a_later_use_alone(world: Consuming) -> None:
    """By the same key, about the same verdict, not before; a withdrawal that cannot be read is one."""
    said, key = world.say(), world.public("consumer")
    for name, files in {
        "itself": {"w": world.withdraw()},
        "later": {"w": world.withdraw(days=1)},
        "unreadable": {"w": world.say(put("result", value="taken back"))},
    }.items():
        with pytest.raises(VerificationError, match="it was withdrawn") as refused:
            read_use(said, key, world.evidence(files))
        assert refused.value.cause == "withdrawn", name
    with pytest.raises(VerificationError, match="it withdraws what its signer said"):
        read_use(world.withdraw(), key, world.evidence())
    kept = {"earlier": world.withdraw(days=-1), "stranger": world.withdraw(by="stranger")}
    assert read_use(said, key, world.evidence(kept)).payload_sha256


def policy(world: Consuming, *names: str, threshold: int = 1, **window: str | bool) -> LoadedPolicy:
    """One that demands consumers beside the operator."""
    for name in names:
        world.public(name)
    keys = [{"name": name, "path": f"keys/{name}.pub", **window} for name in names]
    roles = {"operator": {"keys": [{"name": "judge", "path": "keys/judge.pub"}]}}
    content = {"require_lock": False, "require_remeasured": False, "roles": {**roles, "consumer": {"keys": keys}}}
    content["roles"]["consumer"]["threshold"] = threshold  # type: ignore[index]  # JSON
    (world.root / "policy.yaml").write_text(json.dumps(content), encoding="utf-8")
    return load_policy(world.root / "policy.yaml")


def held(world: Consuming, rules: LoadedPolicy, files: Mapping[str, bytes], at: datetime | None = None) -> str:
    """What was checked under the policy, or why it was not met."""
    data = world.judged.path.read_bytes()
    try:
        return "\n".join(require_in_force(world.verified, data, rules, files, given_keys=[], at=at).checks)
    except VerificationError as error:
        return f"refused: {error}"


def test_a_policy_demands_different_consumers(world: Consuming) -> None:
    """Two copies of one statement are one consumer; each by a key of the role; what does not count is named."""
    rules = policy(world, "ann", "bob", threshold=2)
    ann, bob = world.say(by="ann"), world.say(by="bob")
    for files in ({}, {"a": ann}, {"a": ann, "copy": ann, "again": world.say(by="ann")}):
        assert f"used by {min(len(files), 1)} keys of the role consumer, 2 required" in held(world, rules, files)
    assert "used as consumer by ann, bob" in held(world, rules, {"a": ann, "b": bob})
    table = {
        "signed by no key of the role consumer": world.say(by="mallory"),
        "the consumer's use failed": world.say(failed, by="bob"),
        "it is about another verdict": world.say(by="bob", about="0" * 64),
        "it was withdrawn": bob,
    }
    for message, data in table.items():
        said = held(world, rules, {"a": ann, "b": data, "w": world.withdraw(by="bob")})
        assert said.startswith("refused:")
        assert f"does not count: 'b': {message}" in said, said


def test_a_consumer_counts_while_key_and_statement_do(world: Consuming) -> None:
    """Revoked, not valid yet, or expired by the moment that is asked about; no sign-off stands for a use."""
    said = {"a": world.say(by="ann")}
    assert "the key of ann is revoked" in held(world, policy(world, "ann", revoked=True), said)
    assert "was valid from 2999" in held(world, policy(world, "ann", valid_from="2999-01-01T00:00:00Z"), said)
    rules = policy(world, "ann")
    assert "used as consumer by ann" in held(world, rules, said)
    assert "it was valid until" in held(world, rules, said, datetime.now(UTC) + timedelta(days=91))
    asked = {"role": "consumer", "decision": "approve", "note": "fine", "at": dated(0)}
    ann = load_private_key(world.root / "keys/ann.key")
    review = sign_off_verdict(world.verified, ann, **asked)  # type: ignore[arg-type]  # its own keywords
    assert "no sign-off stands for that" in held(world, rules, {"review": review})
    assert lacking(rules, count_consumers(rules, world.evidence())).startswith("used by 0 keys")
    assert lacking(rules, count_consumers(rules, world.evidence(said))) == ""


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"payload": 3}'])
def test_what_claims_to_be_no_statement_is_counted_by_nobody_here(data: bytes) -> None:
    """It goes to those who count sign-offs, and they name it."""
    assert not is_consumers(data)


def test_a_consumer_neither_reviews_nor_signs(world: Consuming) -> None:
    """One key has one role, the role reviews nothing, and is demanded of nobody under `sign_off`."""
    world.public("ann")
    ann = "{name: ann, path: keys/ann.pub}"
    for text, message in {
        f"roles: {{consumer: {{keys: [{ann}]}}}}\nsign_off: [consumer]\n": "uses the model",
        f"roles: {{consumer: {{keys: [{ann}]}}, owner: {{keys: [{ann}]}}}}\n": "a key has one role",
        f"roles: {{consumer: {{keys: [{ann}]}}, operator: {{keys: [{ann}]}}}}\n": "a key has one role",
        "roles: {consumer: {keys: [], identities: [{name: a, identity: a, issuer: b}]}}\n": "a key of their own",
    }.items():
        (world.root / "policy.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(SpecError, match=message):
            load_policy(world.root / "policy.yaml")
    assert policy(world, "ann").policy.demanded_roles == ()


def test_export_and_sign_off_say_whom_the_policy_still_waits_for(world: Consuming, cli: Cli) -> None:
    """Until the statement lies beside the verdict, or in its bundle."""
    policy(world, "ann")
    rules, verdict = world.root / "policy.yaml", world.judged.path
    still, out = "the policy is not met yet: used by 0 keys of the role consumer", world.root
    export = ("export", verdict, "--policy", rules, "--out", out)
    assert still in cli(*export).stdout
    assert json.loads(cli(*export, "--json").stdout)["lacking"].startswith("used by 0 keys")
    off = ("--role", "operator", "--decision", "withdraw", "--note", "no", "--key", world.root / "keys/judge.key")
    assert still in cli("sign-off", verdict, *off, "--policy", rules, "--out", out / "off.json").stdout
    (verdict.parent / "consumer-ann.sigstore.json").write_bytes(world.say(by="ann"))
    assert "not met yet" not in cli(*export).stdout
    bundle = out / "verdict.intoto.jsonl"
    bundle.write_bytes(verdict.read_bytes() + b"\n" + world.say(by="ann") + b"\n")
    assert "used as consumer by ann" in cli("verify", bundle, "--policy", rules).stdout
