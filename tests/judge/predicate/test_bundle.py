"""Projections say what the verdict says and never more; a bundle is read line by line and decides by its verdict."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from refute.attest import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    PrivateKey,
    build_statement,
    generate_key,
    load_private_key,
    public_pem,
    sign_envelope,
    verify_envelope,
)
from refute.errors import VerificationError
from refute.judge.predicate.bundle import MAX_LINES, read_bundle
from refute.judge.predicate.model import Predicate
from refute.judge.predicate.projections import SUMMARY_TYPE, TEST_RESULT_TYPE, project
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.outcome import Outcome, Ruling, Severity
from refute.verify.verification import verify_verdict

MakeRun = Callable[..., RunFolder]


def lines_of(judged: Judged) -> list[bytes]:
    """The lines of the bundle beside a verdict."""
    return judged.path.with_name("verdict.intoto.jsonl").read_bytes().splitlines()


def statements(predicate: Predicate) -> dict[str, Mapping[str, Any]]:
    """Both projections by type, as JSON."""
    return {each.predicate_type: json.loads(each.payload) for each in project(predicate, "a" * 64)}


def test_the_bundle_holds_the_verdict_and_two_signed_projections(judged: Judged, key: PrivateKey) -> None:
    """The first line is the verdict's own file; all three are about one subject, under one key."""
    lines = lines_of(judged)
    assert lines[0] == judged.path.read_bytes()
    opened = [json.loads(verify_envelope(line, [public_pem(key)])[1]) for line in lines]
    assert [each["predicateType"] for each in opened] == [PREDICATE_TYPE, TEST_RESULT_TYPE, SUMMARY_TYPE]
    assert opened[0]["subject"] == opened[1]["subject"] == opened[2]["subject"]
    verified = verify_verdict(b"\n".join(lines), [public_pem(key)])
    assert "2 projections say what the verdict says" in verified.checks
    assert verified.payload_sha256 == judged.payload_sha256


def test_a_go_as_a_verification_summary(judged: Judged) -> None:
    """Every field that SLSA requires, the verdict as its input, and a level that names the run class."""
    statement = statements(judged.predicate)[SUMMARY_TYPE]
    summary = statement["predicate"]
    assert summary["verifier"]["id"].startswith("https://")
    assert summary["verifier"]["version"]["refute"] == judged.predicate.verifier_version
    assert summary["timeVerified"] == judged.predicate.evaluated_at
    assert summary["resourceUri"].endswith("/release/tiny")
    assert set(summary["policy"]) == {"uri", "digest"}
    assert summary["inputAttestations"] == [
        {"uri": f"https://refute.invalid/verdict/{'a' * 64}", "digest": {"sha256": "a" * 64}}
    ]
    assert (summary["verificationResult"], summary["verifiedLevels"]) == ("PASSED", ["REFUTE_GO_QUICK"])
    assert statement["subject"][0]["digest"] == {"sha256": judged.predicate.subject.sha256}


def test_a_go_as_a_test_result(judged: Judged) -> None:
    """What held by name, and by digest what it was held against."""
    result = statements(judged.predicate)[TEST_RESULT_TYPE]["predicate"]
    assert result["result"] == "PASSED"
    assert result["passedTests"] == ["SPEC-TINY-001::AC-TINY-001", "SPEC-TINY-001::AC-TINY-002"]
    assert result["warnedTests"] == result["failedTests"] == []
    digests = [each["digest"]["sha256"] for each in result["configuration"]]
    assert digests == [judged.predicate.specs[0].sha256, judged.predicate.release.sha256]


def test_no_projection_is_better_than_its_verdict(judged: Judged) -> None:
    """PASSED for GO alone, for every outcome and severity; only what was corroborated is a passed test."""
    for ruling, severity, outcome, uncovered in product(Ruling, Severity, Outcome, [False, True]):
        criterion = replace(
            judged.predicate.verdict.criteria[0], outcome=outcome, severity=severity, uncovered=uncovered
        )
        verdict = replace(judged.predicate.verdict, ruling=ruling, criteria=(criterion,))
        found = statements(judged.predicate.model_copy(update={"verdict": verdict}))
        result, summary = found[TEST_RESULT_TYPE]["predicate"], found[SUMMARY_TYPE]["predicate"]
        assert (result["result"] == "PASSED") is (ruling is Ruling.GO)
        assert (result["result"] == "WARNED") is (ruling is Ruling.WARN)
        assert (summary["verificationResult"] == "PASSED") is (ruling is Ruling.GO)
        assert (summary["verifiedLevels"] == ["FAILED"]) is (ruling is not Ruling.GO)
        passed = outcome is Outcome.CORROBORATED and not uncovered
        waved_through = outcome is Outcome.NOT_APPLICABLE and not uncovered
        blocks = severity is Severity.BLOCK and (uncovered or outcome is not Outcome.INCONCLUSIVE)
        assert bool(result["passedTests"]) is passed
        assert bool(result["failedTests"]) is (blocks and not passed and not waved_through)
        assert bool(result["warnedTests"]) is (not blocks and not passed and not waved_through)


def resigned(line: bytes, key: PrivateKey, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The line's statement with a change, signed again."""
    statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
    change(statement)
    return sign_envelope(json.dumps(statement).encode(), PAYLOAD_TYPE, [key])


def test_a_projection_that_disagrees_is_refused(judged: Judged, key: PrivateKey) -> None:
    """Also when it is stricter, and although the trusted key signed it."""
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda s: s["predicate"].update(result="WARNED", verificationResult="FAILED"),
        lambda s: s["predicate"].update(extra=1),
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s["predicate"].clear(),
        lambda s: s.update(extra=1),
    ]
    for line, change in product([1, 2], changes):
        lines = lines_of(judged)
        lines[line] = resigned(lines[line], key, change)
        with pytest.raises(VerificationError, match="disagrees with the verdict") as caught:
            verify_verdict(b"\n".join(lines), [public_pem(key)])
        assert caught.value.cause == "projection"


def test_a_projection_of_another_key_or_twice_is_refused(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """A reader of the bundle could otherwise be shown what the verdict's signer never said."""
    other = load_private_key(generate_key(tmp_path / "keys", "other").private)
    lines = lines_of(judged)
    with pytest.raises(VerificationError, match="signed by none") as caught:
        verify_verdict(b"\n".join([lines[0], resigned(lines[1], other, lambda s: None)]), [public_pem(key)])
    assert caught.value.cause == "signature"
    with pytest.raises(VerificationError, match="is there twice"):
        verify_verdict(b"\n".join([*lines, lines[2]]), [public_pem(key)])


def test_a_projection_of_another_payload_type_is_refused(judged: Judged, key: PrivateKey) -> None:
    """The same words, signed as something else than a statement."""
    lines = lines_of(judged)
    _, payload = verify_envelope(lines[1], [public_pem(key)])
    with pytest.raises(VerificationError, match="disagrees with the verdict"):
        verify_verdict(b"\n".join([lines[0], sign_envelope(payload, "text/plain", [key])]), [public_pem(key)])


def test_lines_taken_away_or_moved_change_nothing(judged: Judged, key: PrivateKey) -> None:
    """The verdict alone carries the decision; without it there is none."""
    lines = lines_of(judged)
    for kept in ([0], [0, 1], [2, 0], [2, 1, 0]):
        verified = verify_verdict(b"\n\n".join(lines[each] for each in kept) + b"\n", [public_pem(key)])
        assert verified.payload_sha256 == judged.payload_sha256
    for kept in ([1], [1, 2]):
        with pytest.raises(VerificationError, match=r"holds 0 verdicts|predicateType is"):
            verify_verdict(b"\n".join(lines[each] for each in kept), [public_pem(key)])
    with pytest.raises(VerificationError, match="holds 2 verdicts"):
        verify_verdict(b"\n".join([*lines, lines[0]]), [public_pem(key)])


def test_other_statements_are_named_and_not_believed(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """Somebody's statement of another type rides along; whoever signed it, it decides nothing."""
    other = load_private_key(generate_key(tmp_path / "keys", "other").private)
    payload = build_statement("x", "0" * 64, {"verdict": "GO"}, predicate_type="https://example.com/x/v1")
    line = sign_envelope(payload, PAYLOAD_TYPE, [other])
    verified = verify_verdict(b"\n".join([*lines_of(judged), line]), [public_pem(key)])
    assert any("beside them: https://example.com/x/v1" in check for check in verified.checks)


def test_an_indented_envelope_is_one_envelope(judged: Judged, key: PrivateKey) -> None:
    """Lines make a bundle only when the first is an object of its own."""
    data = json.dumps(json.loads(judged.path.read_bytes()), indent=2).encode()
    assert verify_verdict(data, [public_pem(key)]).payload_sha256 == judged.payload_sha256


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"{}\n{}", "payload must be a string"),
        (b"{}\n" * (MAX_LINES + 1), "at most 64 are read"),
        (b'{"payload": "W10=", "payloadType": "", "signatures": [{"sig": ""}]}\n{}', "line 1 .* holds no statement"),
        (b'{"payload": "eA==", "payloadType": "", "signatures": [{"sig": ""}]}\n{}', "payload of line 1 is not JSON"),
    ],
)
def test_malformed_bundles_are_refused_by_cause(data: bytes, cause: str) -> None:
    """The line is named."""
    with pytest.raises(VerificationError, match=cause):
        read_bundle(data)


def test_a_model_signature_is_among_the_inputs(judged: Judged) -> None:
    """A verification summary that names its inputs names all of them."""
    model = judged.predicate.model
    assert model is not None
    signed = judged.predicate.model_copy(update={"model": model.model_copy(update={"signature_sha256": "b" * 64})})
    attestations = statements(signed)[SUMMARY_TYPE]["predicate"]["inputAttestations"]
    assert attestations[1:] == [
        {"uri": f"https://refute.invalid/model-signature/{'b' * 64}", "digest": {"sha256": "b" * 64}}
    ]
