"""What is handed on is what other tools take, read here by their own libraries and by rules as theirs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # pyright: ignore[reportPrivateImportUsage]  # its documented name
from sigstore_models.bundle.v1 import Bundle as SigstoreModel

from oci_registry import Registry, serving
from refute.attest import generate_key, public_pem, read_statement, verify_envelope
from refute.attest.canonical import MAX_JSON_BYTES
from refute.errors import UsageError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.predicate.projections import SUMMARY_TYPE, TEST_RESULT_TYPE, Names
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.verify.export.formats import Exported, write_format
from refute.verify.export.kinds import Format
from refute.verify.verification import verify_file
from tiny_run import JudgedOnce

if TYPE_CHECKING:
    from tests.conftest import Cli

    from refute.attest import PrivateKey

Content = dict[str, Any]
# protobuf makes these classes as it is imported, where no type checker sees them.
RESULT: Any = vars(test_result_pb2)["TestResult"]
STATEMENT: Any = vars(statement_pb2)["Statement"]
PURL = "pkg:huggingface/org/small@0123456789abcdef"
NAMES = Names("https://gates.example/refute", PURL, "https://ci.example/runs/7")
# Where GitHub refuses an attestation; what is larger nobody could read as a verdict either.
GITHUB_LIMIT = 16_000_000


@pytest.fixture
def exported(judged: Judged, key: PrivateKey) -> Exported:
    """An honest GO, under names of its own."""
    data, keys = judged.path.read_bytes(), [public_pem(key)]
    return Exported(data, judged.predicate, judged.payload_sha256, keys, key=key, names=NAMES)


@pytest.fixture
def statements(exported: Exported) -> dict[str, Content]:
    """The two statements of other vocabularies, after their signatures were checked."""
    found = {}
    for wanted in (Format.VSA, Format.TEST_RESULT):
        payload = verify_envelope(write_format(exported, wanted), exported.trusted_keys)[1]
        content: Content = json.loads(payload)
        found[content["predicateType"]] = content
    return found


def test_a_bundle_is_read_by_sigstores_own_models(exported: Exported, judged: Judged) -> None:
    """Strict ones, which refuse what the format does not have; and the statement is the verdict's."""
    content = write_format(exported, Format.SIGSTORE)
    read = SigstoreModel.from_json(content)
    assert read.verification_material.public_key is not None
    assert read.verification_material.public_key.hint == judged.predicate.signer.key_id
    assert read.dsse_envelope is not None
    payload = base64.b64decode(read.dsse_envelope.model_dump(mode="json")["payload"])
    assert read_statement(read.dsse_envelope.payload_type, payload).payload_sha256 == judged.payload_sha256


@pytest.mark.slow
def test_of_two_signatures_the_trusted_one_is_handed_on(
    judged: Judged, key: PrivateKey, cli: Cli, tmp_path: Path
) -> None:
    """Each operator makes a bundle of their own; the one without the signer that the verdict names verifies, too."""
    second = generate_key(tmp_path / "second", "second")
    given = ("--verdict-key", judged.files.key, "--key", second.private)
    assert cli("countersign", judged.path, *given).returncode == 0
    bundle = tmp_path / "verdict.sigstore.json"
    for public in (judged.files.key, second.public):
        assert cli("export", judged.path, "--key", public, "--out", tmp_path).returncode == 0
        assert len(json.loads(bundle.read_bytes())["dsseEnvelope"]["signatures"]) == 1
        assert verify_file(bundle, [public.read_bytes()]).payload_sha256 == judged.payload_sha256
    assert cli("verify", bundle, "--key", judged.files.key).returncode == 4
    ended = cli("countersign", bundle, "--verdict-key", second.public, "--key", tmp_path / "keys" / "judge.key")
    assert (ended.returncode, "a Sigstore bundle holds one signature" in ended.stderr) == (2, True), ended.stderr


@pytest.mark.parametrize("wanted", [Format.VSA, Format.TEST_RESULT])
def test_statements_are_read_by_other_implementations(exported: Exported, wanted: Format) -> None:
    """securesystemslib checks the signature, in-toto's own library the statement."""
    content = json.loads(write_format(exported, wanted))
    (pem,) = exported.trusted_keys
    trusted = SSlibKey.from_crypto(load_pem_public_key(pem), keyid=content["signatures"][0]["keyid"])
    envelope = Envelope.from_dict(content)
    envelope.verify([trusted], 1)
    message = Parse(envelope.payload, STATEMENT())
    Statement.copy_from_pb(message).validate()


def test_a_test_result_is_in_totos(statements: dict[str, Content]) -> None:
    """Field by field, as its protobuf has it, with the address of the run and names beside digests."""
    predicate = statements[TEST_RESULT_TYPE]["predicate"]
    read = Parse(json.dumps(predicate), RESULT())
    assert (read.result, read.url) == ("PASSED", NAMES.run_url)
    assert [each.name for each in read.configuration] == ["SPEC-TINY-001", "tiny"]
    assert all(each.uri.startswith("https://") and each.digest["sha256"] for each in read.configuration)


def conforma(statement: Content) -> set[str]:
    """Codes that Conforma's `test_attestation` policy denies or warns with (conforma/policy, policy/release)."""
    predicate = statement["predicate"]
    result = predicate.get("result")
    codes = {"FAILED": "test_failed", "ERROR": "test_erred", "SKIPPED": "test_skipped", "WARNED": "test_warned"}
    if not result:
        return {"test_result_missing"}
    if result != "PASSED" and result not in codes:
        return {"test_result_unknown"}
    return {codes[result]} if result in codes else set()


def slsa(statement: Content, *, subject: str, verifier: str, resource: str, level: str) -> set[str]:
    """Steps 2 to 7 of slsa.dev/spec/v1.1/verification_summary, "How to verify", that fail; 1 is the signature."""
    predicate = statement["predicate"]
    held = {
        "subject": subject in {each["digest"].get("sha256") for each in statement["subject"]},
        "type": statement["predicateType"] == SUMMARY_TYPE,
        "verifier": predicate["verifier"]["id"] == verifier,
        "resource": predicate["resourceUri"] == resource,
        "result": predicate["verificationResult"] == "PASSED",
        "levels": level in predicate["verifiedLevels"],
    }
    return {step for step, holds in held.items() if not holds}


def attestation_verifier(statement: Content, rules: list[tuple[str, Callable[[Content], bool]]]) -> list[str]:
    """The rules of an in-toto attestation-verifier layout that a predicate does not meet, in their order."""
    return [name for name, rule in rules if not rule(statement["predicate"])]


def expected(judged: Judged) -> dict[str, str]:
    """What a consumer knows before it looks."""
    return {
        "subject": judged.predicate.subject.sha256,
        "verifier": NAMES.verifier_id,
        "resource": PURL,
        "level": "REFUTE_GO_QUICK",
    }


def test_a_go_passes_the_rules_of_others(statements: dict[str, Content], judged: Judged) -> None:
    """Of Conforma, of SLSA, and of a layout that asks for a criterion by name."""
    result = statements[TEST_RESULT_TYPE]
    assert conforma(result) == set()
    assert slsa(statements[SUMMARY_TYPE], **expected(judged)) == set()
    rules: list[tuple[str, Callable[[Content], bool]]] = [
        ("passed", lambda predicate: predicate["result"] == "PASSED"),
        ("criterion", lambda predicate: "SPEC-TINY-001::AC-TINY-001" in predicate["passedTests"]),
        ("none failed", lambda predicate: not predicate["failedTests"]),
    ]
    assert attestation_verifier(result, rules) == []


@pytest.mark.parametrize(
    ("asked", "step"), [("subject", "subject"), ("verifier", "verifier"), ("resource", "resource")]
)
def test_another_model_verifier_or_resource_is_refused(
    statements: dict[str, Content], judged: Judged, asked: str, step: str
) -> None:
    """A summary that was laid beside another package says so."""
    assert slsa(statements[SUMMARY_TYPE], **{**expected(judged), asked: "another"}) == {step}


def test_a_no_go_passes_nobodys_rules(make_run: Callable[..., RunFolder], key: PrivateKey) -> None:
    """In either vocabulary."""
    judged = judge_run(make_run(right=40), Operator(key, development=False))
    data, keys = judged.path.read_bytes(), [public_pem(key)]
    fallen = Exported(data, judged.predicate, judged.payload_sha256, keys, key=key, names=NAMES)
    found = [
        json.loads(verify_envelope(write_format(fallen, each), keys)[1]) for each in (Format.VSA, Format.TEST_RESULT)
    ]
    assert slsa(found[0], **expected(judged)) == {"result", "levels"}
    assert conforma(found[1]) == {"test_failed"}


def test_a_predicate_alone_fits_github(exported: Exported, judged: Judged) -> None:
    """It is what was signed, and none that can be read as a verdict is too large: base64 takes a third more."""
    assert json.loads(write_format(exported, Format.PREDICATE)) == judged.predicate.model_dump(mode="json")
    assert MAX_JSON_BYTES * 3 // 4 < GITHUB_LIMIT


@pytest.mark.parametrize("names", [Names("refute"), Names(resource_uri="org/small"), Names(run_url="https://a b")])
def test_names_are_absolute(exported: Exported, names: Names) -> None:
    """What a consumer compares means the same everywhere."""
    renamed = Exported(exported.data, exported.predicate, exported.payload_sha256, exported.trusted_keys, names=names)
    with pytest.raises(UsageError, match="is no absolute URI"):
        write_format(renamed, Format.SIGSTORE)


@pytest.mark.slow
def test_a_command_writes_them_all(judged: Judged, cli: Cli, tmp_path: Path) -> None:
    """Under the verdict's name; into a registry on request; statements only with a key."""
    files = judged.files.folder
    formats = [word for each in Format for word in ("--format", each)]
    given = ("export", judged.path, "--key", judged.files.key, "--resource-uri", PURL, *formats)
    assert cli(*given).returncode == 2
    ended = cli(*given, "--signing-key", tmp_path / "keys" / "judge.key", "--json")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in map(Path, json.loads(ended.stdout)["files"].values())) == [
        "verdict.predicate.json",
        "verdict.sigstore.json",
        "verdict.test-result.intoto.json",
        "verdict.vsa.intoto.json",
    ]
    assert PURL.encode() in base64.b64decode(json.loads((files / "verdict.vsa.intoto.json").read_bytes())["payload"])
    with serving(Registry()) as registry:
        reference = registry.put(b"{}")
        pushed = cli("export", judged.path, "--key", judged.files.key, "--oci", reference)
        assert (pushed.returncode, len(registry.referring_to(reference.partition("@")[2]))) == (0, 1), pushed.stderr


def test_what_does_not_verify_is_not_handed_on(judged: Judged, honest_go: JudgedOnce, cli: Cli, tmp_path: Path) -> None:
    """Nothing is written."""
    other = generate_key(tmp_path / "other", "other").public
    assert cli("export", judged.path, "--key", other, "--out", tmp_path).returncode == 4
    assert not list(tmp_path.glob("verdict*"))
