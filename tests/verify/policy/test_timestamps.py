"""A verdict's own timestamp: believed about its signature alone, and what a policy goes by."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcing import House
from refute.attest import envelope_signatures, key_id, public_pem, write_sigstore_bundle
from refute.attest.timestamp import request_timestamp
from refute.errors import ServiceError, SpecError, VerificationError
from refute.gate.judging import JudgeOptions, _judge_arguments
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.spec.fields import moment
from refute.verify.policy_check import enforce
from refute.verify.timestamps import SIGNED_WITHIN, find_timestamps
from refute.verify.verification import Verified, verify_verdict
from timestamp_authority import Authority, serving

if TYPE_CHECKING:
    from tests.conftest import Cli

AUTHORITY, STRANGER = Authority(), Authority("Another clock")


@dataclass(frozen=True)
class Stamped:
    """A verdict, and an authority that sees its signature at any moment."""

    house: House

    @property
    def evaluated_at(self) -> datetime:
        """What the signer says."""
        return moment(self.house.judged.predicate.evaluated_at)

    def answer(self, after: timedelta = timedelta(), authority: Authority = AUTHORITY, name: str = "gate") -> bytes:
        """What the authority says of the signature so long after the verdict was judged."""
        envelope = self.house.judged.path.read_bytes()
        (signature,) = envelope_signatures(envelope, [public_pem(self.house.keys[name])]).values()
        clocked = replace_clock(authority, self.evaluated_at + after)
        with serving(clocked.answer) as url:
            return request_timestamp(url, signature)

    def verify(self, *answers: bytes, roots: Sequence[bytes] = (AUTHORITY.root_pem,)) -> Verified:
        """The verdict with these answers beside it."""
        keys = [public_pem(self.house.keys["gate"])]
        return verify_verdict(self.house.judged.path.read_bytes(), keys, timestamps=answers, timestamp_roots=roots)


def replace_clock(authority: Authority, at: datetime) -> Authority:
    """The same authority at another moment: making keys costs."""
    authority.clock = lambda: at
    return authority


@pytest.fixture
def stamped(house: House) -> Stamped:
    """A verdict by `gate`."""
    return Stamped(house)


def test_the_authoritys_moment_is_reported(stamped: Stamped) -> None:
    """By the key whose signature it saw; the earliest of several counts."""
    gate = key_id(public_pem(stamped.house.keys["gate"]))
    verified = stamped.verify(stamped.answer(timedelta(hours=1)), stamped.answer(timedelta(minutes=2)))
    assert verified.seen[gate].moment == stamped.evaluated_at + timedelta(minutes=2)
    assert "says CN=A clock" in "\n".join(verified.checks)


def test_without_a_root_it_is_only_reported(stamped: Stamped) -> None:
    """Rubbish, too: nobody asked."""
    verified = stamped.verify(b"rubbish", roots=())
    assert not verified.seen
    assert "the verdict's timestamp was not checked" in "\n".join(verified.checks)


def test_a_root_demands_a_timestamp(stamped: Stamped) -> None:
    """Deleting verdict.tsr does not switch off the check of the date; where nobody asks, nothing is said."""
    with pytest.raises(VerificationError, match="the verdict has no timestamp") as caught:
        stamped.verify()
    assert caught.value.cause == "timestamp"
    assert "timestamp" not in "\n".join(stamped.verify(roots=()).checks)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (-timedelta(minutes=6), "before the moment at which it says that it was judged"),
        (SIGNED_WITHIN + timedelta(seconds=1), "more than 1 day after the moment"),
    ],
)
def test_a_date_that_the_authority_does_not_bear_out_is_refused(
    stamped: Stamped, after: timedelta, message: str
) -> None:
    """Dated ahead or dated back: an `effective_on`, a waiver's end or a key's window may have been the reason."""
    with pytest.raises(VerificationError, match=message) as caught:
        stamped.verify(stamped.answer(after))
    assert caught.value.cause == "timestamp"


@pytest.mark.parametrize("after", [-timedelta(minutes=5), SIGNED_WITHIN])
def test_clocks_may_differ_and_judging_takes_time(stamped: Stamped, after: timedelta) -> None:
    """Up to the limits themselves."""
    assert stamped.verify(stamped.answer(after)).seen


def test_another_signature_and_another_authority_are_refused(stamped: Stamped) -> None:
    """A stamp that somebody laid beside it refuses, whatever else is there."""
    with serving(replace_clock(AUTHORITY, stamped.evaluated_at).answer) as url:
        foreign = request_timestamp(url, b"another signature")
    for wrong in (foreign, stamped.answer(authority=STRANGER), b"rubbish"):
        with pytest.raises(VerificationError) as caught:
            stamped.verify(stamped.answer(), wrong)
        assert caught.value.cause == "timestamp"


def test_a_sigstore_bundle_brings_its_own(stamped: Stamped) -> None:
    """Where Sigstore has it."""
    envelope = stamped.house.judged.path.read_bytes()
    bundle = write_sigstore_bundle(envelope, "", [stamped.answer()])
    keys = [public_pem(stamped.house.keys["gate"])]
    assert verify_verdict(bundle, keys, timestamp_roots=[AUTHORITY.root_pem]).seen
    with pytest.raises(VerificationError, match="no authority under the given roots"):
        verify_verdict(bundle, keys, timestamp_roots=[STRANGER.root_pem])


def test_a_policy_demands_it_and_goes_by_it(stamped: Stamped) -> None:
    """A key's window is held against the authority's clock, not the signer's."""
    house, hour = stamped.house, timedelta(hours=1)
    roots = [{"pem": AUTHORITY.root_pem.decode()}]
    ends = {"gate": {"valid_until": (stamped.evaluated_at + hour).strftime("%Y-%m-%dT%H:%M:%SZ")}}
    envelope, approved = house.judged.path.read_bytes(), {"s": house.sign_off("ann")}
    policy = house.policy(timestamp_roots=roots, windows=ends)
    assert policy.timestamp_roots == (AUTHORITY.root_pem,)
    enforce(policy, envelope, stamped.verify(stamped.answer()), approved)
    with pytest.raises(VerificationError, match="the key of gate was valid until"):
        enforce(policy, envelope, stamped.verify(stamped.answer(2 * hour)), approved)
    with pytest.raises(VerificationError, match="no timestamp: no authority of the policy saw"):
        enforce(policy, envelope, stamped.verify(stamped.answer(), roots=()), approved)


def test_a_root_that_is_none_is_a_fault_of_the_policy(house: House) -> None:
    """With its place; a path leads from the policy's folder."""
    (house.folder / "root.pem").write_bytes(AUTHORITY.root_pem)
    assert house.policy(timestamp_roots=[{"path": "root.pem"}]).timestamp_roots == (AUTHORITY.root_pem,)
    for wrong in ({"path": "absent.pem"}, {"pem": "-----BEGIN"}, {}, {"pem": "x", "path": "y"}):
        with pytest.raises(SpecError, match="timestamp_roots"):
            house.policy(timestamp_roots=[wrong])


def test_the_judge_asks_and_writes_it_beside_the_verdict(make_run: Callable[..., RunFolder], key: object) -> None:
    """An authority that does not answer leaves no verdict, and no number is used up."""
    run = make_run()
    with pytest.raises(ServiceError, match="gave no timestamp"):
        judge_run(run, Operator(key, development=False, authority="http://127.0.0.1:9/"))  # type: ignore[arg-type]
    assert not list(run.path.glob("verdict*"))
    with serving(replace_clock(AUTHORITY, datetime.now(UTC)).answer) as url:
        judged = judge_run(run, Operator(key, development=False, authority=url))  # type: ignore[arg-type]
    assert judged.predicate.identity.sequence == 1
    for path in (judged.files.verdict, judged.files.bundle):
        verified = verify_verdict(
            path.read_bytes(),
            [judged.files.key.read_bytes()],
            timestamps=find_timestamps(path),
            timestamp_roots=[AUTHORITY.root_pem],
        )
        assert verified.seen
    assert find_timestamps(Path("elsewhere/verdict.intoto.json")) == []


@pytest.mark.slow
def test_commands_ask_and_check(stamped: Stamped, cli: Cli, tmp_path: Path) -> None:
    """`refute judge --timestamp`, and `refute verify` with what lies beside the verdict and in its Sigstore bundle."""
    run, root = stamped.house.judged.path.parent, tmp_path / "root.pem"
    root.write_bytes(AUTHORITY.root_pem)
    key = ("--key", tmp_path / "keys" / "gate.pub")
    with serving(replace_clock(AUTHORITY, datetime.now(UTC)).answer) as url:
        assert cli("judge", run, "--key", tmp_path / "keys" / "gate.key", "--timestamp", url).returncode == 0
    assert cli("export", run / "verdict-2.intoto.json", *key).returncode == 0
    roots = house_policy(stamped.house)
    for name in ("verdict-2.intoto.json", "verdict-2.intoto.jsonl", "verdict-2.sigstore.json"):
        ended = cli("verify", run / name, *key, "--policy", roots)
        assert (ended.returncode, "signed before" in ended.stdout) == (0, True), ended.stderr
    ended = cli("verify", run / "verdict.intoto.json", *key, "--policy", roots)
    assert (ended.returncode, "no timestamp" in ended.stderr) == (4, True)
    (run / "verdict-2.tsr").write_bytes(b"rubbish")
    ended = cli("verify", run / "verdict-2.intoto.json", *key, "--policy", roots, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["cause"]) == (4, "timestamp")


def house_policy(house: House) -> Path:
    """A policy that demands a timestamp, and nobody's review."""
    roots = [{"pem": AUTHORITY.root_pem.decode()}]
    return house.policy(timestamp_roots=roots, sign_off=[], require_remeasured=False).path


def test_the_gate_hands_the_address_to_its_judge() -> None:
    """Word for word."""
    options = JudgeOptions(Path(".refute"), None, timestamp="https://authority.example/tsr")
    given = _judge_arguments(Path("run"), options, 3)
    assert given[given.index("--timestamp") + 1] == "https://authority.example/tsr"
