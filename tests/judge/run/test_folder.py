"""Run folders: created anew, found by id, and read back as they were written or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.errors import EvidenceError, UsageError
from refute.falsifier.context import Evidence
from refute.judge.run.facts import RunFacts
from refute.judge.run.folder import RunFile, RunFolder, open_run
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


def test_a_run_is_read_back_and_latest_points_to_it(tmp_path: Path) -> None:
    """`latest` follows the newest run, whose folder is found by path, by id and by that name."""
    first, second = (RunFolder.create(tmp_path / "runs") for _ in range(2))
    for run in (first, second):
        run.write_run(RUN)
    assert second.read_run() == RUN
    for text in (str(second.path), second.path.name, "latest"):
        assert open_run(text, tmp_path).path == second.path
    assert open_run(first.path.name, tmp_path).path == first.path
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(
        ["latest", first.path.name, second.path.name]
    )


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


def test_an_unknown_run_is_a_usage_error(tmp_path: Path) -> None:
    """A folder without run.json is no run, and the hint says how to get one."""
    (tmp_path / "runs" / "x").mkdir(parents=True)
    with pytest.raises(UsageError, match="no run 'x'") as caught:
        open_run("x", tmp_path)
    assert "pytest --falsifiers" in caught.value.hint


def test_evidence_is_noted_by_name(tmp_path: Path) -> None:
    """Twice the same does no harm; two contents under one name are an error that names the line."""
    run = RunFolder(tmp_path)
    assert run.read_evidence() == {}
    run.append_evidence({"b": evidence("b"), "a": evidence("a")})
    run.append_evidence({"a": evidence("a")})
    assert sorted(run.read_evidence()) == ["a", "b"]
    assert run.read_evidence()["a"].files == {"a.json": "e" * 64}
    run.append_evidence({"a": evidence("a", "f" * 64)})
    with pytest.raises(EvidenceError, match="line 4: evidence 'a' has two different contents"):
        run.read_evidence()


@pytest.mark.parametrize("line", ["", "{", "{}", "null"])
def test_an_evidence_line_that_is_none_is_an_error(tmp_path: Path, line: str) -> None:
    """A judge that cannot tell what the evidence was does not judge."""
    (tmp_path / "evidence.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(EvidenceError, match="line 1 is not an evidence line"):
        RunFolder(tmp_path).read_evidence()
