"""`refute verify` and `refute report --check` as programs call them: statuses, causes, and JSON whatever happens."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import generate_key
from refute.judge.run.folder import RunFolder
from tiny_run import JudgedOnce

if TYPE_CHECKING:
    from tests.conftest import Cli

MakeRun = Callable[..., RunFolder]


@pytest.fixture(scope="module")
def number_four(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """A judged GO, number 4, with its public key as verifier.pem and its reports."""
    return JudgedOnce.make(tmp_path_factory.mktemp("number-four"), sequence=4, measured_again=True)


@pytest.fixture
def run(number_four: JudgedOnce, tmp_path: Path) -> Path:
    """The folder of a copy of that run."""
    return number_four.copy(tmp_path).path.parent


@pytest.mark.slow
def test_the_judge_tells_how_to_verify_with_a_key_from_elsewhere(make_run: MakeRun, cli: Cli, tmp_path: Path) -> None:
    """The command that it prints takes the public half from beside the private one, where there is one; the copy beside
    the verdict, which anybody can exchange with it, only else."""
    pair, run = generate_key(tmp_path / "keys", "judge"), make_run()
    assert f"--key {pair.public}\n" in cli("judge", run.path, "--key", pair.private).stdout
    pair.public.unlink()
    assert f"--key {run.path / 'verifier-2.pem'}\n" in cli("judge", run.path, "--key", pair.private).stdout


@pytest.mark.slow
def test_json_says_what_the_verdict_is(run: Path, cli: Cli) -> None:
    """Identity, subject, validity, signer and checks of an authentic verdict, also out of the bundle."""
    for name in ("verdict.intoto.json", "verdict.intoto.jsonl"):
        ended = cli("verify", run / name, "--key", run / "verifier.pem", "--json")
        shown = json.loads(ended.stdout)
        assert (ended.returncode, shown["verified"], shown["status"], shown["verdict"]) == (0, True, 0, "GO")
        assert (shown["verdict_id"], shown["sequence"], shown["release"]) == ("tiny/4/a-run", 4, "tiny")
        assert shown["subject"]["kind"] == "evidence_file"
        assert shown["signer"]["development"] is False
        assert {"payload_sha256", "valid_until", "evaluated_at", "run_class", "checks"} <= set(shown)


@pytest.mark.parametrize(
    ("options", "status", "cause"),
    [
        (("--threshold", "2"), 4, "keys"),
        (("--release", "other"), 5, "release"),
        (("--min-sequence", "5"), 5, "sequence"),
        (("--min-spec-version", "SPEC-TINY-001=2"), 5, "spec_version"),
        (("--at", "2020-01-01T00:00:00Z"), 5, "future"),
        (("--at", "2036-01-01T00:00:00+02:00"), 5, "expired"),
        (("--store", "."), 4, "evidence"),
        (("--store", ""), 4, "evidence"),  # an unset variable: nobody is to think that it was looked at
        (("--store", "absent"), 2, "input"),
        (("--key", "MODEL"), 2, "input"),
        (("--lock-key", "KEY"), 4, "lock"),
        (("--model", "MODEL"), 5, "subject"),
        (("--model", ""), 5, "subject"),
        (("--at", "yesterday"), 2, "input"),
        (("--at", "2026-01-01T00:00:00"), 2, "input"),
        (("--min-spec-version", "SPEC-TINY-001"), 2, "input"),
        (("--min-spec-version", "A=1", "--min-spec-version", "A=2"), 2, "input"),
        (("--min-spec-version", "A=x"), 2, "input"),
        (("--key", "absent.pem"), 2, "input"),
        (("--model", "absent"), 2, "input"),
    ],
)
def test_every_refusal_has_a_cause_and_a_status(
    run: Path, cli: Cli, tmp_path: Path, options: tuple[str, ...], status: int, cause: str
) -> None:
    """The same in JSON on standard output, in words on standard error, and as the exit status."""
    (tmp_path / "other.jsonl").write_text("{}\n", encoding="utf-8")
    places = {"MODEL": tmp_path / "other.jsonl", "KEY": run / "verifier.pem"}
    given = [places.get(each, each) for each in options]
    ended = cli("verify", run / "verdict.intoto.json", "--key", run / "verifier.pem", *given, "--json")
    shown = json.loads(ended.stdout)
    assert (ended.returncode, shown["status"], shown["cause"], shown["verified"]) == (status, status, cause, False)
    assert shown["message"] in ended.stderr
    silent = cli("verify", run / "verdict.intoto.json", "--key", run / "verifier.pem", *given)
    assert (silent.returncode, silent.stdout) == (status, "")


@pytest.mark.parametrize(
    ("data", "cause"),
    [(b"", "envelope"), (b"{}", "envelope"), (b"\xff", "envelope"), (b"{}\n{}", "envelope")],
)
def test_what_is_no_verdict_is_not_verifiable(run: Path, cli: Cli, data: bytes, cause: str) -> None:
    """Rubbish has a cause, too."""
    (run / "verdict.intoto.json").write_bytes(data)
    ended = cli("verify", run / "verdict.intoto.json", "--key", run / "verifier.pem", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["cause"]) == (4, cause)


def test_another_signer_is_a_signature_that_does_not_hold(run: Path, cli: Cli, tmp_path: Path) -> None:
    """The cause that a pipeline alarms on."""
    other = generate_key(tmp_path / "keys", "other").public
    ended = cli("verify", run / "verdict.intoto.json", "--key", other, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["cause"]) == (4, "signature")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["md", "html", "json"])
def test_a_report_is_compared_with_the_signature(run: Path, cli: Cli, suffix: str) -> None:
    """The judge's own report is the verdict's, byte for byte; with one letter more or a line less it is not."""
    report = run / f"report.{suffix}"
    arguments = ("report", run / "verdict.intoto.json", "--key", run / "verifier.pem", "--check", report)
    ended = cli(*arguments)
    assert (ended.returncode, "byte for byte" in ended.stdout) == (0, True)
    text = report.read_text(encoding="utf-8")
    for changed in (text.replace("GO", "NO-GO", 1), text + "\n", text[: len(text) // 2], ""):
        report.write_text(changed, encoding="utf-8")
        ended = cli(*arguments)
        assert (ended.returncode, ended.stdout) == (4, "")
        assert "is not the report of this verdict: line " in ended.stderr


def test_a_file_that_is_no_report_by_its_name(run: Path, cli: Cli) -> None:
    """The suffix tells the format."""
    arguments = ("--key", run / "verifier.pem", "--check", run / "run.txt")
    ended = cli("report", run / "verdict.intoto.json", *arguments)
    assert (ended.returncode, "expected one of *.html, *.json, *.md" in ended.stderr) == (2, True)


def test_an_expired_verdict_is_rendered_for_its_time(run: Path, cli: Cli) -> None:
    """A report of a verdict from the archive needs the moment for which it is asked."""
    arguments = ("report", run / "verdict.intoto.json", "--key", run / "verifier.pem", "--format", "md", "--at")
    assert cli(*arguments, "2036-01-01T00:00:00Z").returncode == 5
    evaluated = json.loads((run / "report.json").read_text(encoding="utf-8"))["evaluated_at"]
    assert cli(*arguments, evaluated).returncode == 0


@pytest.mark.slow
def test_a_number_that_was_passed_is_not_given_again(run: Path, cli: Cli, tmp_path: Path) -> None:
    """`refute judge --sequence` goes up only."""
    ended = cli("judge", run, "--key", tmp_path / "keys" / "judge.key", "--sequence", 4)
    assert (ended.returncode, "sequence 4 is not above 4" in ended.stderr) == (2, True)


def test_a_stranger_says_nothing_in_our_name(run: Path, cli: Cli) -> None:
    """Unsigned lines of a bundle and names of files are shown without their line breaks and escapes."""
    said = "x\x1b[2K\n  signed by the owner\u202e"
    payload = b64encode(json.dumps({"predicateType": said}).encode()).decode()
    line = json.dumps({"payload": payload, "payloadType": "x", "signatures": [{"sig": "AAAA"}]})
    bundle = run / "verdict.intoto.jsonl"
    bundle.write_text(bundle.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    ended = cli("verify", bundle, "--key", run / "verifier.pem")
    assert (ended.returncode, "\\x1b[2K signed by the owner\\u202e" in ended.stdout) == (0, True), ended.stdout
    assert not any(each.startswith("  signed by the owner") for each in ended.stdout.splitlines())
    ended = cli("verify", bundle, "--key", run / "absent\x1b[2K.pem")
    assert (ended.returncode, "absent\\x1b[2K.pem" in ended.stderr, "\x1b" in ended.stderr) == (2, True, False)
