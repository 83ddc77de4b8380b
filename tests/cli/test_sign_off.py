"""Judge, sign off, verify under a policy, as people type it: exit statuses, files and messages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import generate_key, load_private_key
from refute.judge.run.folder import RunFolder
from refute.verify.sign_off.statement import MAX_FILES
from tiny_run import JudgedOnce

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.slow

MakeRun = Callable[..., RunFolder]
PASSPHRASE = b"correct horse"
POLICY = """\
roles:
  operator:
    keys: [{name: gate machine, path: keys/gate.pub}]
  release-owner:
    keys: [{name: Ann, path: keys/ann.pub}, {name: Bob, path: keys/bob.pub}]
require_lock: false
require_remeasured: false
approvers: [Ada]
"""


@pytest.fixture(scope="module")
def signed_by_gate(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """A GO signed by `gate`, beside a policy and a waiver file; Ann's key is encrypted."""
    root = tmp_path_factory.mktemp("signed-by-gate")
    for name in ("bob", "mallory"):
        generate_key(root / "keys", name)
    generate_key(root / "keys", "ann", passphrase=PASSPHRASE)
    (root / "secret").write_bytes(PASSPHRASE + b"\n")
    (root / "secret").chmod(0o600)
    (root / "policy.yaml").write_text(POLICY, encoding="utf-8")
    return JudgedOnce.make(root, "gate", measured_again=True)


@pytest.fixture
def verdict(signed_by_gate: JudgedOnce, tmp_path: Path) -> Path:
    """A copy of that GO."""
    return signed_by_gate.copy(tmp_path).path


def arguments(verdict: Path, decision: str = "approve", name: str = "bob", **changes: object) -> list[object]:
    """What somebody types to sign off."""
    root = verdict.parents[2]
    given: dict[str, object] = {
        "role": "release-owner",
        "decision": decision,
        "note": "looked at it",
        "key": root / f"keys/{name}.key",
        "policy": root / "policy.yaml",
    }
    return [
        "sign-off",
        verdict,
        *(word for key, value in {**given, **changes}.items() if value is not None for word in (f"--{key}", value)),
    ]


def test_a_release_owner_approves_and_the_policy_is_met(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """Refused without the sign-off, accepted with it, found beside the verdict by itself; the key was encrypted."""
    policy = ["--policy", tmp_path / "policy.yaml"]
    before = cli("verify", verdict, *policy)
    assert (before.returncode, "approved by 0 keys of the role release-owner" in before.stderr) == (4, True)
    signed = cli(*arguments(verdict, name="ann"), "--passphrase-file", tmp_path / "secret", "--json")
    made = json.loads(signed.stdout)
    name = f"sign-off-release-owner-{made['key_id'][:16]}.intoto.json"
    assert (signed.returncode, made["sign_off"]) == (0, str(verdict.parent / name))
    after = cli("verify", verdict, *policy, "--json")
    assert after.returncode == 0
    assert "approved as release-owner by Ann" in json.loads(after.stdout)["checks"]


def test_a_sign_off_is_written_as_a_sigstore_bundle(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """On request; found beside the verdict all the same."""
    made = json.loads(cli(*arguments(verdict), "--sigstore", "--json").stdout)
    assert (made["sign_off"].endswith(".sigstore.json"), Path(made["sign_off"]).parent) == (True, verdict.parent)
    ended = cli("verify", verdict, "--policy", tmp_path / "policy.yaml")
    assert (ended.returncode, "approved as release-owner by Bob" in ended.stdout) == (0, True), ended.stderr


def test_a_rejection_refuses_and_nothing_is_overwritten(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """The second decision of the same key needs a name of its own, and both are then read."""
    assert cli(*arguments(verdict)).returncode == 0
    again = cli(*arguments(verdict, "reject"))
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    assert cli("verify", verdict, "--policy", tmp_path / "policy.yaml").returncode == 0
    elsewhere = tmp_path / "no.json"
    assert cli(*arguments(verdict, "reject", note="a leak was found", out=elsewhere)).returncode == 0
    ended = cli("verify", verdict, "--policy", tmp_path / "policy.yaml", "--sign-off", elsewhere)
    assert (ended.returncode, "rejected by Bob as release-owner: a leak was found" in ended.stderr) == (4, True)


# What is asked for, and why it is refused.
USELESS: list[tuple[dict[str, object], int, str]] = [
    ({"name": "gate"}, 2, "this key signed the verdict"),
    ({"name": "mallory"}, 2, "does not list this key"),
    ({"role": "owner"}, 2, "'owner' is no role that reviews; there are: release-owner"),
    ({"role": "operator"}, 2, "'operator' is no role that reviews"),
    ({"note": " "}, 2, "this is no sign-off: note"),
    ({"decision": "maybe"}, 2, "maybe"),
    ({"policy": None}, 2, "no key that you trust for the verdict"),
    ({"policy": None, "role": "../up", "verdict-key": "keys/gate.pub"}, 2, "this is no sign-off: role"),
    ({"policy": None, "verdict-key": "keys/mallory.pub"}, 4, "signed by none of the 1 trusted key"),
    ({"key": "lost.key"}, 2, "cannot read the private key"),
    ({"key": "nothing:1"}, 2, "needs its public half"),
]


def test_what_would_not_count_is_not_signed(
    verdict: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger, an operator, a role that is none, a verdict that nobody vouches for: refused, and no file appears."""
    monkeypatch.chdir(tmp_path)
    for changes, status, words in USELESS:
        ended = cli(*arguments(verdict, **changes))  # type: ignore[arg-type]  # names of options
        assert (ended.returncode, words in ended.stderr) == (status, True), changes
    assert not list(verdict.parent.glob("sign-off-*"))


def test_a_no_go_can_be_rejected_and_not_approved(make_run: MakeRun, cli: Cli, verdict: Path, tmp_path: Path) -> None:
    """Whoever wants it released needs a waiver before the verdict, not a signature after it."""
    run = make_run(right=10)
    assert cli("judge", run.path, "--key", tmp_path / "keys/gate.key").returncode == 1
    bad = run.path / "verdict.intoto.json"
    ended = cli(*arguments(bad))
    assert (ended.returncode, "NO-GO, and nobody can approve" in ended.stderr) == (2, True)
    assert cli(*arguments(bad, "reject")).returncode == 0
    assert cli("verify", bad, "--key", tmp_path / "keys/gate.pub").returncode == 0
    assert cli("verify", bad, "--policy", tmp_path / "policy.yaml").returncode == 4


def test_a_verdict_judged_again_needs_a_new_review(cli: Cli, verdict: Path, tmp_path: Path) -> None:
    """The sign-off speaks of a payload: of the next one, from the same run, it says nothing."""
    assert cli(*arguments(verdict)).returncode == 0
    (tmp_path / "waivers.yaml").write_text("waivers: [{criterion: AC-TINY-001}]\n", encoding="utf-8")
    again = ["judge", verdict.parent, "--key", tmp_path / "keys/gate.key", "--waivers", tmp_path / "waivers.yaml"]
    assert cli(*again).returncode == 0
    ended = cli("verify", verdict.with_name("verdict-2.intoto.json"), "--policy", tmp_path / "policy.yaml")
    assert (ended.returncode, "speaks of another verdict" in ended.stderr) == (4, True)
    assert cli("verify", verdict, "--policy", tmp_path / "policy.yaml").returncode == 0


def test_keys_and_policy_together_demand_both(cli: Cli, verdict: Path, tmp_path: Path) -> None:
    """--key beside --policy narrows and never widens; a policy without operators needs it."""
    assert cli(*arguments(verdict)).returncode == 0
    policy, keys = tmp_path / "policy.yaml", tmp_path / "keys"
    assert cli("verify", verdict, "--policy", policy, "--key", keys / "gate.pub").returncode == 0
    assert cli("verify", verdict, "--policy", policy, "--key", keys / "bob.pub").returncode == 4
    other = tmp_path / "other.yaml"
    other.write_text(POLICY.replace("keys/gate.pub", "keys/mallory.pub"), encoding="utf-8")
    ended = cli("verify", verdict, "--policy", other, "--key", keys / "gate.pub")
    assert (ended.returncode, "signed by 0 keys of the role operator" in ended.stderr) == (4, True)
    bare = tmp_path / "bare.yaml"
    bare.write_text("require_lock: false\n", encoding="utf-8")
    assert cli("verify", verdict, "--policy", bare).returncode == 2
    assert cli("verify", verdict, "--policy", bare, "--key", keys / "gate.pub").returncode == 0


def test_misuse_of_verify_is_said(cli: Cli, verdict: Path, tmp_path: Path) -> None:
    """No key at all, a sign-off without a policy, a policy that is faulty or not there."""
    assert cli("verify", verdict).returncode == 2
    ended = cli("verify", verdict, "--key", tmp_path / "keys/gate.pub", "--sign-off", verdict)
    assert (ended.returncode, "without the policy" in ended.stderr) == (2, True)
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(POLICY + "aprovers: []\n", encoding="utf-8")
    ended = cli("verify", verdict, "--policy", faulty)
    assert (ended.returncode, "faulty.yaml:9: aprovers: unknown key" in ended.stderr) == (2, True)
    assert cli("verify", verdict, "--policy", tmp_path / "lost.yaml").returncode == 2


def test_an_old_verdict_is_stale_under_a_policy(
    cli: Cli, make_run: MakeRun, verdict: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 days unless the policy says otherwise, and exit status 5."""
    then = (datetime.now(UTC) - timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
    monkeypatch.setattr("refute.judge.judge_run.utc_now", lambda: then)
    run = make_run()
    cli("judge", run.path, "--key", tmp_path / "keys/gate.key")
    old = run.path / "verdict.intoto.json"
    assert cli(*arguments(old)).returncode == 0
    ended = cli("verify", old, "--policy", tmp_path / "policy.yaml")
    assert (ended.returncode, "older than the 30 days allowed" in ended.stderr) == (5, True)
    ageless = tmp_path / "ageless.yaml"
    ageless.write_text(POLICY + "max_age_days: null\n", encoding="utf-8")
    assert cli("verify", old, "--policy", ageless).returncode == 0
    assert cli("verify", old, "--policy", ageless, "--max-age-days", 7).returncode == 5


def test_waivers_are_listed_whatever_their_state(cli: Cli, make_run: MakeRun, verdict: Path, tmp_path: Path) -> None:
    """In the signed statement and in every report: in force, a stranger's, malformed; and the end that is near."""
    spec = (tmp_path / "spec.yaml").read_text(encoding="utf-8").replace("severity: info", "severity: block")
    spec = spec.replace("version: 1", "version: 2", 1)
    run = make_run(spec=spec, right=10)
    subject = json.loads((verdict.parent / "report.json").read_text(encoding="utf-8"))["subject"]
    cli("judge", run.path, "--key", tmp_path / "keys/gate.key")
    digest = json.loads((run.path / "report.json").read_text(encoding="utf-8"))["subject"]["sha256"]
    whole = {"criterion": "AC-TINY-001", "subject_sha256": digest, "reason": "known", "approver": "Ada"}
    ends = {"expires_at": "2999-01-01T00:00:00Z"}
    entries = [
        whole | ends,
        whole | ends | {"approver": "Mallory"},
        whole | ends | {"subject_sha256": subject["sha256"]},
        whole | {"expires_at": "tomorrow"},
    ]
    (tmp_path / "waivers.yaml").write_text(json.dumps({"waivers": entries}), encoding="utf-8")
    options = ["--waivers", tmp_path / "waivers.yaml", "--policy", tmp_path / "policy.yaml"]
    ended = cli("judge", run.path, "--key", tmp_path / "keys/gate.key", *options)
    assert ended.returncode == 3
    report = json.loads((run.path / "report-2.json").read_text(encoding="utf-8"))
    states = ["applied", "approver_not_allowed", "wrong_subject", "malformed"]
    assert (report["verdict"], [each["state"] for each in report["waivers"]]) == ("WARN", states)
    for text in (
        ended.stdout,
        *((run.path / f"report-2.{kind}").read_text(encoding="utf-8") for kind in ("md", "html")),
    ):
        assert [state for state in states if state.replace("_", " ") not in text] == []
    again = cli("verify", run.path / "verdict-2.intoto.json", "--key", tmp_path / "keys/gate.pub")
    assert (again.returncode, "WARN" in again.stdout) == (0, True)


def test_a_key_behind_a_uri_judges_and_signs_off(cli: Cli, verdict: Path, tmp_path: Path) -> None:
    """As a key file does, once its public half is given."""
    keys = tmp_path / "keys"
    remote = ["--key", f"file2:{keys / 'gate.key'}", "--public-key", keys / "gate.pub"]
    assert cli("judge", verdict.parent, *remote).returncode == 0
    changes = {"key": f"file2:{keys / 'bob.key'}", "public-key": keys / "bob.pub"}
    assert cli(*arguments(verdict, **changes)).returncode == 0  # type: ignore[arg-type]  # names of options
    assert cli("verify", verdict, "--policy", tmp_path / "policy.yaml").returncode == 0
    ended = cli("judge", verdict.parent, "--key", f"file2:{keys / 'gate.key'}")
    assert (ended.returncode, "--public-key" in ended.stderr) == (2, True)


def test_a_key_can_be_made_encrypted(cli: Cli, key_folder: Path, verdict: Path, tmp_path: Path) -> None:
    """Under the passphrase in a file; without a terminal nobody can be asked for one."""
    assert cli("keygen", "locked", "--passphrase-file", tmp_path / "secret").returncode == 0
    load_private_key(key_folder / "locked.key", PASSPHRASE)
    ended = cli("keygen", "asked", "--ask-passphrase")
    assert (ended.returncode, "no passphrase was typed" in ended.stderr) == (2, True)
    assert not (key_folder / "asked.key").exists()


# ------------------------------------------------------------------------------------------------ operators


def test_a_threshold_of_operators_is_met_by_countersigning(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """Verdict and bundle carry both signatures, an earlier sign-off stays good, and a second time is refused."""
    keys = tmp_path / "keys"
    text = POLICY.replace("path: keys/gate.pub}]", "path: keys/gate.pub}, {name: second, path: keys/mallory.pub}]")
    text = text.replace("  operator:\n", "  operator:\n    threshold: 2\n")
    (tmp_path / "two.yaml").write_text(text, encoding="utf-8")
    assert cli(*arguments(verdict)).returncode == 0
    before = cli("verify", verdict, "--policy", tmp_path / "two.yaml")
    assert (before.returncode, "signed by 1 keys of the role operator, 2 required" in before.stderr) == (4, True)
    command = ("countersign", verdict, "--policy", tmp_path / "two.yaml", "--key")
    stranger = cli(*command, keys / "bob.key")
    assert (stranger.returncode, "does not list this key" in stranger.stderr) == (2, True)
    made = cli(*command, keys / "mallory.key", "--json")
    assert (made.returncode, len(json.loads(made.stdout)["files"])) == (0, 2), made.stderr
    for file in (verdict, verdict.with_suffix(".jsonl")):
        assert cli("verify", file, "--policy", tmp_path / "two.yaml").returncode == 0
        both = ("--key", keys / "gate.pub", "--key", keys / "mallory.pub", "--threshold", 2)
        assert cli("verify", file, *both).returncode == 0
    again = cli(*command, keys / "mallory.key")
    assert (again.returncode, "has signed this already" in again.stderr) == (2, True)


def test_nothing_is_signed_about_a_verdict_of_a_revoked_key(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """Nor is it handed on; and who holds a revoked key, or one that is not valid yet, does not sign, either."""

    def policy(role: str, fault: str) -> Path:
        name = {"operator": "keys/gate.pub", "release-owner": "keys/bob.pub"}[role]
        (tmp_path / "revoked.yaml").write_text(POLICY.replace(f"{name}}}", f"{name}, {fault}}}"), encoding="utf-8")
        return tmp_path / "revoked.yaml"

    revoked = policy("operator", "revoked: true")
    commands: list[list[object]] = [
        arguments(verdict, policy=revoked),
        ["countersign", verdict, "--policy", revoked, "--key", tmp_path / "keys/mallory.key"],
        ["export", verdict, "--policy", revoked],
    ]
    for command in commands:
        ended = cli(*command)
        assert (ended.returncode, "the key of gate machine is revoked" in ended.stderr) == (4, True), command
    assert [path.name for path in verdict.parent.glob("*") if "sign-off" in path.name or "sigstore" in path.name] == []
    for fault in ("revoked: true", 'valid_from: "2999-01-01T00:00:00Z"'):
        ended = cli(*arguments(verdict, policy=policy("release-owner", fault)))
        assert (ended.returncode, "the key of Bob" in ended.stderr) == (2, True), ended.stderr


def test_a_verdict_that_its_signer_withdrew_is_refused(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """Without a policy, too, and where the withdrawal stands in the bundle; nobody else can withdraw it."""
    key = ("--key", tmp_path / "keys/gate.pub")
    by = {"role": "operator", "policy": None, "verdict-key": tmp_path / "keys/gate.pub", "note": "a leak was found"}
    refused = cli(*arguments(verdict, "withdraw", **by))  # type: ignore[arg-type]  # names of options
    assert (refused.returncode, "only such a key withdraws it" in refused.stderr) == (2, True)
    assert cli("verify", verdict, *key).returncode == 0
    made = cli(*arguments(verdict, "withdraw", "gate", **by), "--json")
    assert made.returncode == 0, made.stderr
    ended = cli("verify", verdict, *key)
    assert (ended.returncode, "withdrawn" in ended.stderr, "a leak was found" in ended.stderr) == (5, True, True)
    withdrawal, bundle = Path(json.loads(made.stdout)["sign_off"]), verdict.with_suffix(".jsonl")
    with bundle.open("ab") as stream:
        stream.write(withdrawal.read_bytes() + b"\n")
    withdrawal.unlink()
    assert cli("verify", verdict, *key).returncode == 0
    assert cli("verify", bundle, *key).returncode == 5


def test_a_rejection_inside_the_bundle_outweighs_an_approval(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """A line of the bundle is read as a file beside the verdict is."""
    assert cli(*arguments(verdict)).returncode == 0
    rejection, bundle = tmp_path / "no.json", verdict.with_suffix(".jsonl")
    assert cli(*arguments(verdict, "reject", note="bad", out=rejection)).returncode == 0
    policy = ("--policy", tmp_path / "policy.yaml")
    assert cli("verify", bundle, *policy).returncode == 0
    with bundle.open("ab") as stream:
        stream.write(rejection.read_bytes() + b"\n")
    ended = cli("verify", bundle, *policy)
    assert (ended.returncode, "rejected by Bob as release-owner: bad" in ended.stderr) == (4, True)


def test_what_lies_beside_a_verdict_is_read_within_bounds(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """A file larger than any sign-off is none, and is named; of more files than are read one might reject."""
    policy = ("--policy", tmp_path / "policy.yaml", "--json")
    assert cli(*arguments(verdict)).returncode == 0
    with (verdict.parent / "sign-off-huge.intoto.json").open("wb") as sparse:
        sparse.truncate(1 << 40)
    ended = cli("verify", verdict, *policy)
    assert (ended.returncode, "sign-off-huge.intoto.json' is no file of at most" in ended.stdout) == (0, True)
    for number in range(MAX_FILES):
        (verdict.parent / f"sign-off-{number}.intoto.json").write_bytes(b"{}")
    ended = cli("verify", verdict, *policy)
    assert (ended.returncode, f"at most {MAX_FILES} are read" in ended.stderr) == (4, True)


def test_what_is_no_file_is_never_waited_for(verdict: Path, cli: Cli, tmp_path: Path) -> None:
    """A pipe that nobody writes to, in the place of each thing that `verify` reads; a folder, a pipe or a dangling link
    that is called like a sign-off blocks nothing and is named."""
    policy = ("--policy", tmp_path / "policy.yaml")
    assert cli(*arguments(verdict)).returncode == 0
    os.mkfifo(verdict.parent / "sign-off-a.intoto.json")
    (verdict.parent / "sign-off-b.intoto.json").mkdir()
    (verdict.parent / "sign-off-c.intoto.json").symlink_to("nowhere")
    ended = cli("verify", verdict, *policy, "--json")
    assert ended.returncode == 0, ended.stderr
    odd = [check for check in json.loads(ended.stdout)["checks"] if "is no file of at most" in check]
    assert len(odd) == 3
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command in (
        ("verify", pipe, *policy),
        ("verify", verdict, "--policy", pipe),
        ("verify", verdict, "--key", pipe),
        ("verify", verdict, *policy, "--sign-off", pipe),
        ("verify", verdict, "--key", tmp_path / "keys/gate.pub", "--timestamp-root", pipe),
        ("verify", verdict, "--key", tmp_path / "keys/gate.pub", "--model", pipe),
        tuple(arguments(verdict, key=pipe)),
        ("countersign", pipe, *policy, "--key", tmp_path / "keys/bob.key"),
        ("judge", verdict.parent, "--key", pipe),
        ("judge", verdict.parent, "--key", tmp_path / "keys/gate.key", "--waivers", pipe),
    ):
        ended = cli(*command)
        assert ended.returncode in (2, 4, 5), (command, ended.stderr)
        assert "pipe" in ended.stderr
