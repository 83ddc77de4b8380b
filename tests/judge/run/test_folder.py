"""Run folders: created anew, found by id, and read back as they were written or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.errors import EvidenceError, UnreadableInputError, UsageError, VerificationError
from refute.falsifier.context import Evidence
from refute.judge.run.facts import RunFacts
from refute.judge.run.folder import RunFile, RunFolder
from refute.outcome import RunClass
from refute.spec.texts import ReleaseText, SpecText

RUN = RunFile(
    facts=RunFacts(
        id="r",
        started_at="2026-01-01T00:00:00Z",
        argv=("--falsifiers",),
        pytest_environment={},
        plugins={},
        python="3.11",
        platform="Linux",
        cpus=2,
        versions={"torch": "2"},
    ),
    release=ReleaseText(
        id="a", title="t", run_class=RunClass.QUICK, operator="o", name="a.yaml", sha256="0" * 64, text="release: a"
    ),
    specs=(SpecText(id="SPEC-A", name="a.yaml", sha256="1" * 64, text="spec: x"),),
    store="/store",
)


def evidence(name: str, digest: str = "d" * 64) -> Evidence:
    """Evidence of one file."""
    return Evidence(name, digest, Path("/view"), {"a.json": "e" * 64})


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    """Also within one second."""
    assert len({RunFolder.create(tmp_path / "runs").path for _ in range(20)}) == 20


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """Named, with the option that helps."""
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(EvidenceError, match="cannot create a run folder below") as caught:
        RunFolder.create(tmp_path / "runs")
    assert "--refute-dir" in caught.value.hint


def test_a_run_is_read_back_and_recorded_once(tmp_path: Path) -> None:
    """A second run.json in one folder is refused, and the first one stays."""
    run = RunFolder.create(tmp_path / "runs")
    run.write_run(RUN)
    with pytest.raises(EvidenceError, match=r"run\.json: File exists"):
        run.write_run(RUN.model_copy(update={"store": "/other"}))
    assert run.read_run() == RUN


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", RUN.model_dump_json()[:-1], RUN.model_dump_json().replace("quick", "x")]
)
def test_a_run_file_that_is_none_is_a_usage_error(tmp_path: Path, text: str) -> None:
    """Missing, torn or of another form."""
    with pytest.raises(UsageError, match="is not a run folder"):
        RunFolder(tmp_path).read_run()
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is not a run folder"):
        RunFolder(tmp_path).read_run()


def test_evidence_is_noted_by_name(tmp_path: Path) -> None:
    """Twice the same does no harm; two contents under one name are an error that names the line."""
    run = RunFolder(tmp_path)
    assert run.read_evidence() == {}
    run.append_evidence({"b": evidence("b"), "a": evidence("a")})
    run.append_evidence({"a": evidence("a")})
    assert sorted(run.read_evidence()) == ["a", "b"]
    assert run.read_evidence()["a"].files == {"a.json": "e" * 64}
    run.append_evidence({"a": evidence("a", "f" * 64)})
    with pytest.raises(VerificationError, match="line 4: evidence 'a' has two different contents"):
        run.read_evidence()


@pytest.mark.parametrize("line", ["{", "{}", "null", '"S::AC::F"', "[1]", '["S::AC::F"'])
def test_a_damaged_list_of_what_was_left_out_is_an_error(tmp_path: Path, line: str) -> None:
    """Or a falsifier that went missing would be told as one that nobody asked for, or the other way round."""
    run = RunFolder(tmp_path)
    assert run.read_deselected() == frozenset()
    run.append_deselected(["S::AC::F", "S::AC::G"])
    assert run.read_deselected() == {"S::AC::F", "S::AC::G"}
    with (tmp_path / "deselected.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    with pytest.raises(UnreadableInputError, match=r"deselected\.jsonl line 2 lists no falsifiers"):
        run.read_deselected()


@pytest.mark.parametrize("line", ["", "{", "{}", "null"])
def test_an_evidence_line_that_is_none_is_an_error(tmp_path: Path, line: str) -> None:
    """A judge that cannot tell what the evidence was does not judge."""
    (tmp_path / "evidence.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UnreadableInputError, match="line 1 is not an evidence line"):
        RunFolder(tmp_path).read_evidence()
