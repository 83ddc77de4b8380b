"""`requires_verdict`: no long run begins before the releases that it builds on were judged GO, and used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consuming import Consuming
from refute.attest import (
    PAYLOAD_TYPE,
    build_statement,
    generate_key,
    key_id,
    load_private_key,
    public_pem,
    sign_envelope,
    verify_envelope,
)
from refute.errors import RequiredVerdictError, SpecError, VerificationError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.spec.fields import moment
from refute.spec.files import load_release
from refute.verify.required_verdicts import missing_required, verify_required
from refute.verify.verification import verify_verdict
from tiny_run import JudgedOnce

if TYPE_CHECKING:
    from tests.conftest import Cli

MakeRun = Callable[..., RunFolder]
V2 = "release: v2\ntitle: The next one\nrun_class: quick\nevidence: {answers: answers.jsonl}\n"


@dataclass(frozen=True, slots=True)
class World:
    """A judged first release `tiny`, and the keys of its operator, of a consumer and of a stranger."""

    folder: Path
    first: Judged

    def require(self, **demand: object) -> Path:
        """The release file of `v2` with this demand besides the usual."""
        usual = {"release": "tiny", "verdict": str(self.first.path), "key": "keys/operator.pub"}
        demands = {name: value for name, value in {**usual, **demand}.items() if value is not None}
        path = self.folder / "v2.yaml"
        path.write_text(V2 + f"requires_verdict: [{json.dumps(demands)}]\n", encoding="utf-8")
        return path

    def consuming(self) -> Consuming:
        """Whoever says something of that GO."""
        return Consuming(self.folder, self.first, "operator")

    def attest(self, statement: bytes) -> None:
        """The consumer's statement, where the release looks for it."""
        (self.folder / "consumer.json").write_bytes(statement)


@pytest.fixture(scope="module")
def signed_by_operator(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """The first release is GO."""
    made = JudgedOnce.make(tmp_path_factory.mktemp("first"), "operator")
    for name in ("consumer", "stranger"):
        generate_key(made.root / "keys", name)
    return made


@pytest.fixture
def world(signed_by_operator: JudgedOnce, tmp_path: Path) -> World:
    """A copy of that GO, and what cites it."""
    return World(tmp_path, signed_by_operator.copy(tmp_path))


CONSUMER = {"file": "consumer.json", "key": "keys/consumer.pub"}


@pytest.mark.slow
def test_a_signed_go_is_cited(world: World) -> None:
    """Payload, subject and key of the verdict; nothing more is asked."""
    (cited,) = verify_required(load_release(world.require()))
    assert cited.payload_sha256 == world.first.payload_sha256
    assert cited.subject_sha256 == world.first.predicate.subject.sha256
    assert cited.key_id == key_id((world.folder / "keys/operator.pub").read_bytes())
    assert cited.consumer_payload_sha256 is None


def test_a_consumer_who_used_it_is_cited(world: World) -> None:
    """The citation carries the statement's payload digest and key."""
    world.attest(world.consuming().say())
    (cited,) = verify_required(load_release(world.require(consumer=CONSUMER)))
    assert cited.consumer_key_id == key_id((world.folder / "keys/consumer.pub").read_bytes())
    assert cited.consumer_payload_sha256 is not None


def test_a_baseline_is_required_as_any_other(world: World) -> None:
    """It is cited where it is a signed GO, and refused where it is not."""
    path = world.folder / "v2.yaml"
    for key, refused in (("operator", False), ("stranger", True)):
        demand = {"release": "tiny", "verdict": str(world.first.path), "key": f"keys/{key}.pub"}
        path.write_text(V2 + f"baseline: {json.dumps(demand)}\n", encoding="utf-8")
        assert bool(missing_required(load_release(path))) is refused
    with pytest.raises(RequiredVerdictError, match="signed by none"):
        verify_required(load_release(path))


def test_a_key_may_be_pinned_by_its_id(world: World) -> None:
    """With the id alone the key is the one beside the verdict; a key with another id is refused."""
    own = key_id((world.folder / "keys/operator.pub").read_bytes())
    assert verify_required(load_release(world.require(key=None, key_id=own)))[0].key_id == own
    other = key_id((world.folder / "keys/stranger.pub").read_bytes())
    with pytest.raises(RequiredVerdictError, match=f"expected {other}"):
        verify_required(load_release(world.require(key=None, key_id=other)))


def test_a_key_may_be_named_as_its_owner_names_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of keys of whoever runs the release; one that is not there is said with its place."""
    monkeypatch.setenv("REFUTE_KEYS", str(world.folder / "keys"))
    assert verify_required(load_release(world.require(key=None, key_name="operator")))
    with pytest.raises(RequiredVerdictError, match=r"cannot read the public key .*keys/nobody\.pub"):
        verify_required(load_release(world.require(key=None, key_name="nobody")))


def test_of_a_folder_the_newest_on_that_release_counts(world: World) -> None:
    """Found below it, as of the run's start: what was judged later is not cited, and without one there is none."""
    judged = moment(world.first.predicate.evaluated_at)
    release = load_release(world.require(verdict="."))
    (cited,) = verify_required(release, at=judged)
    assert cited.payload_sha256 == world.first.payload_sha256
    with pytest.raises(RequiredVerdictError, match=r"no verdict below .* on release 'tiny' [\s\S]*judged later"):
        verify_required(release, at=judged - timedelta(seconds=1))
    with pytest.raises(RequiredVerdictError, match=r"no verdict below .* on release 'v1' [\s\S]*about something else"):
        verify_required(load_release(world.require(verdict=".", release="v1")))


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        ({"verdict": "absent.json"}, r"cannot read the verdict .*absent\.json"),
        ({"key": "absent.pub"}, r"cannot read the public key .*absent\.pub"),
        ({"key": "keys/stranger.pub"}, "signed by none of the 1 trusted key"),
        ({"release": "v1"}, "about release 'tiny', expected 'v1'"),
        ({"subject_sha256": "0" * 64}, f"expected {'0' * 64}"),
        ({"consumer": CONSUMER}, "cannot read the consumer's statement"),
    ],
)
def test_what_is_not_as_demanded_is_refused(world: World, demand: dict[str, object], message: str) -> None:
    """One error that says what was found; `refute check` would note the same line."""
    release = load_release(world.require(**demand))
    with pytest.raises(RequiredVerdictError, match=message):
        verify_required(release)
    (line,) = missing_required(release)
    assert line.startswith("v1: " if "release" in demand else "tiny: ")


def test_a_consumer_who_does_not_count_is_refused(world: World) -> None:
    """Signed by somebody else, about something else, the operator's own; each other cause: tests/verify/consumer."""
    said, release = world.consuming(), load_release(world.require(consumer=CONSUMER))
    table = {
        "the consumer's statement: signed by none": said.say(by="stranger"),
        "the consumer's statement: it is about another verdict, 0000": said.say(about="0" * 64),
        "the consumer's statement: predicateType": said.say(kind="https://example.invalid/consumer/v1"),
        "the consumer's statement: it withdraws": said.withdraw(),
    }
    for message, statement in table.items():
        world.attest(statement)
        with pytest.raises(RequiredVerdictError, match=message):
            verify_required(release)
    world.attest(said.say(by="operator"))
    own = load_release(world.require(consumer={**CONSUMER, "key": "keys/operator.pub"}))
    with pytest.raises(RequiredVerdictError, match="that is not independent"):
        verify_required(own)


@pytest.mark.parametrize("where", ["statement", "verdict"])
def test_what_lies_beside_statement_or_verdict_may_take_it_back(world: World, where: str) -> None:
    """Found under the names that `refute consume` and `refute sign-off` give; as of the run's start."""
    said, release = world.consuming(), load_release(world.require(consumer=CONSUMER))
    world.attest(said.say())
    folder = world.folder if where == "statement" else world.first.path.parent
    (folder / "consumer-0123-withdrawn.sigstore.json").write_bytes(said.withdraw())
    with pytest.raises(RequiredVerdictError, match=r"the consumer's statement: it was withdrawn: .* it crashed later"):
        verify_required(release)
    (folder / "consumer-0123-withdrawn.sigstore.json").unlink()
    assert verify_required(release)


@pytest.mark.slow
def test_a_no_go_lets_nothing_begin(make_run: MakeRun, tmp_path: Path) -> None:
    """A signed verdict is not enough, it has to be GO."""
    generate_key(tmp_path / "keys", "operator")
    first = judge_run(make_run(right=10), Operator(load_private_key(tmp_path / "keys/operator.key"), development=False))
    with pytest.raises(RequiredVerdictError, match="its verdict is NO-GO, expected GO"):
        verify_required(load_release(World(tmp_path, first).require()))


def test_everything_that_is_wrong_is_said_at_once(world: World) -> None:
    """Two demands, two lines."""
    path = world.require()
    demand = "{release: r%d, verdict: absent.json, key: keys/operator.pub}"
    path.write_text(V2 + f"requires_verdict: [{demand % 1}, {demand % 2}]\n", encoding="utf-8")
    assert [line[:3] for line in missing_required(load_release(path))] == ["r1:", "r2:"]


@pytest.mark.parametrize(
    "text",
    [
        "[{release: v1, verdict: v.json}]",
        "[{release: v2, verdict: v.json, key: k.pub}]",
        "[{release: v1, verdict: v.json, key: k.pub, key_name: k}]",
    ],
)
def test_a_demand_without_a_key_or_of_itself_is_a_fault_of_the_file(tmp_path: Path, text: str) -> None:
    """A verdict that anybody may sign proves nothing, and no release comes before itself."""
    (tmp_path / "v2.yaml").write_text(V2 + f"requires_verdict: {text}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"proves nothing|itself|not both"):
        load_release(tmp_path / "v2.yaml")


@pytest.mark.slow
def test_check_notes_what_is_missing(world: World, cli: Cli) -> None:
    """`refute check` on the release file: a note and no problem, for the file itself is in order."""
    path = world.folder / "releases" / "v2.yaml"
    path.parent.mkdir()
    world.require(verdict="absent.json", key=str(world.folder / "keys/operator.pub")).rename(path)
    shown = json.loads(cli("check", path, "--json").stdout)
    assert any("a verdict that is required: tiny: cannot read the verdict" in note for note in shown["notes"])


RELEASE = (
    "release: next\ntitle: Tiny answers\nrun_class: quick\noperator: nobody\nsubject: answers\n"
    "evidence: {answers: answers.jsonl, notes: notes.json}\n"
    "requires_verdict:\n  - {release: tiny, verdict: v.json, consumer: {file: c.json, key: c.pub},"
    f" subject_sha256: '{'2' * 64}', key_id: '{'3' * 64}'}}\n"
)


def judged_with(world: World, run: RunFolder, **changes: object) -> Judged:
    """A run of RELEASE, judged with a run.json that cites a verdict, with changes to the citation."""
    content = json.loads((run.path / "run.json").read_bytes())
    content["release"]["id"] = "next"
    cited = {"release": "tiny", "payload_sha256": "1" * 64, "subject_sha256": "2" * 64, "key_id": "3" * 64}
    consumer = {"consumer_payload_sha256": "4" * 64, "consumer_key_id": "5" * 64}
    content["requires"] = [{**cited, **consumer, **changes}] if changes.pop("cite", True) else []
    (run.path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return judge_run(run, Operator(load_private_key(world.folder / "keys/operator.key"), development=False))


@pytest.mark.slow
def test_the_judge_wants_the_citation(world: World, make_run: MakeRun) -> None:
    """With it GO, without it, of another release, or with the operator as the consumer NO-GO; a verifier agrees."""
    own = key_id((world.folder / "keys/operator.pub").read_bytes())
    run = make_run(release=RELEASE)
    assert judged_with(world, run).predicate.verdict.ruling == "GO"
    for changes, reason in (
        ({"cite": False}, "the run cites none"),
        ({"release": "other"}, "the run cites none"),
        ({"release": "other"}, "cites a verdict of 'other', which the release does not require"),
        ({"consumer_payload_sha256": None, "consumer_key_id": None}, "independent consumer's attestation"),
        ({"subject_sha256": "0" * 64}, "has subject 0000"),
        ({"key_id": "0" * 64}, "has key 0000"),
        ({"consumer_key_id": None}, "independent consumer's attestation"),
        ({"consumer_key_id": own}, "signed by the key that signs this verdict"),
        ({"consumer_key_id": "3" * 64}, "signed by the key of the verdict itself"),
    ):
        verdict = judged_with(world, run, **changes).predicate.verdict
        assert (verdict.ruling, any(reason in each for each in verdict.reasons)) == ("NO-GO", True), verdict.reasons


def test_who_signed_the_verdict_too_is_no_consumer(world: World) -> None:
    """A second signature on the verdict is enough: that is not somebody who only used it."""
    world.attest(world.consuming().say(by="operator"))
    payload = verify_envelope(world.first.path.read_bytes(), [(world.folder / "keys/operator.pub").read_bytes()])[1]
    both = [load_private_key(world.folder / f"keys/{name}.key") for name in ("operator", "stranger")]
    world.first.path.write_bytes(sign_envelope(payload, PAYLOAD_TYPE, both))
    release = world.require(key="keys/stranger.pub", consumer={**CONSUMER, "key": "keys/operator.pub"})
    with pytest.raises(RequiredVerdictError, match="that is not independent"):
        verify_required(load_release(release))


@pytest.mark.slow
@pytest.mark.parametrize("copied", [False, True])
def test_the_judge_verifies_again_what_a_run_cites(world: World, make_run: MakeRun, cli: Cli, copied: bool) -> None:
    """A runner can write any citation: GO only where the verdicts lie where the release says, and are those cited."""
    release = RELEASE.split("requires_verdict")[0] + (
        f"requires_verdict: [{{release: tiny, verdict: '{world.first.path}', key: keys/operator.pub}}]\n"
    )
    run = make_run(release=release)
    content = json.loads((run.path / "run.json").read_bytes())
    content["release"]["id"] = "next"
    own = world.folder / "release.yaml"
    content["release"]["name"] = "/nowhere/release.yaml" if copied else str(own)
    content["facts"]["started_at"] = world.first.predicate.evaluated_at
    (honest,) = verify_required(load_release(own))
    options = ("--key", world.folder / "keys/operator.key", *(("--specs", world.folder) if copied else ()))
    for changes, status in (({}, 0), ({"payload_sha256": "0" * 64}, 1), ({"consumer_key_id": "0" * 64}, 1)):
        content["requires"] = [honest.model_dump() | changes]
        (run.path / "run.json").write_text(json.dumps(content), encoding="utf-8")
        ended = cli("judge", run.path, *options)
        assert (ended.returncode, "the run cites other verdicts" in ended.stdout) == (status, status == 1), ended.stdout
    content["requires"] = [honest.model_dump()]
    (run.path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    (world.folder / "keys/operator.pub").unlink()
    ended = cli("judge", run.path, *options)
    assert (ended.returncode, "was not found again" in " ".join(ended.stdout.split())) == (1, True), ended.stdout


@pytest.mark.slow
def test_a_citation_cannot_be_taken_out_of_a_signed_verdict(world: World, make_run: MakeRun) -> None:
    """The demand stands in the release's text: without its answer the verdict contradicts itself."""
    judged = judged_with(world, make_run(release=RELEASE))
    content = json.loads(judged.predicate.model_dump_json())
    content["requires"] = []
    key = load_private_key(world.folder / "keys/operator.key")
    payload = build_statement(content["subject"]["name"], content["subject"]["sha256"], content)
    with pytest.raises(VerificationError, match="its own records give NO-GO"):
        verify_verdict(sign_envelope(payload, PAYLOAD_TYPE, [key]), [public_pem(key)])
