"""What of prompts and answers is signed: beginnings within a budget, digests of the whole, whatever a model wrote."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from evidence_examples import EVALUATION_SUMMARY, result, sample
from json_lines import write_rows
from refute.attest import canonical_json
from refute.judge.exhibits.grids import grids, prompts
from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.run.folder import EvidenceLine

HOSTILE = "</script><img src=x onerror=alert(1)>\x00\x1b[31m\u202e\u2028 \ud800"


def line(folder: Path, name: str, completions: list[str]) -> EvidenceLine:
    """Evidence of a scored model that failed every problem."""
    tasks = [f"Own/{number}" for number in range(len(completions))]
    files: dict[str, list[dict[str, object]]] = {
        "results.jsonl": [result(task, "failed", HOSTILE * 99) for task in tasks],
        "samples.jsonl": [sample(task, text) for task, text in zip(tasks, completions, strict=True)],
        "prompts.jsonl": [{"task_id": t, "prompt": f"def f{t}(): " + HOSTILE} for t in tasks],
    }
    digests = {}
    for file, rows in files.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, rows)
        digests[file] = hashlib.sha256(path.read_bytes()).hexdigest()
    return EvidenceLine(name=name, digest="d" * 64, folder=str(folder / name), files=digests)


def test_a_long_answer_is_cut_and_cited_by_its_digest(tmp_path: Path) -> None:
    """A completion of a million letters costs a verdict a thousand; the digest is that of all of them."""
    whole = "x" * 1_000_000
    (grid,) = grids({"humaneval_student": line(tmp_path, "humaneval_student", [whole, "short", ""])})
    cut, short, empty = grid.answers
    assert (cut.characters, len(cut.completion)) == (1_000_000, 1_200)
    assert cut.completion_sha256 == hashlib.sha256(whole.encode()).hexdigest()
    assert (short.completion, short.characters, empty.completion) == ("short", 5, "")


def test_a_problem_without_an_answer_keeps_its_place_and_its_reason(tmp_path: Path) -> None:
    """Two answers and an error between them: three cells, three texts, and the reason where nothing was answered."""
    found = line(tmp_path, "humaneval_student", ["one", "two", "three"])
    folder = tmp_path / "humaneval_student"
    for file, change in (("samples.jsonl", None), ("results.jsonl", {"outcome": "error", "detail": "the server died"})):
        rows = [json.loads(row) for row in (folder / file).read_text(encoding="utf-8").split("\n") if row]
        rows[1:2] = [] if change is None else [{**rows[1], **change}]
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (grid,) = grids({"humaneval_student": found})
    assert grid.outcomes == ("failed", "error", "failed")
    assert [each.completion for each in grid.answers] == ["one", "", "three"]
    assert grid.answers[1].reason == "the server died"


def test_the_report_counts_problems_without_a_verdict(tmp_path: Path) -> None:
    """With the share that may have none, wherever some were allowed; nothing is said where none were."""
    for share, shown in ((0.02, ["3 of 164, counted as failed; 2 % may have none"]), (0.0, [])):
        found = line(tmp_path / str(share), "humaneval_init", ["x"])
        summary = {**EVALUATION_SUMMARY, "errors": 3, "allowed_error_share": share}
        path = Path(found.folder) / "summary.json"
        path.write_text(json.dumps(summary), encoding="utf-8")
        known = found.model_copy(update={"files": {**found.files, "summary.json": "d" * 64}})
        (section,) = [each for each in exhibits({"humaneval_init": known}, ()).sections if each.number == 5]
        assert [fact.value for fact in section.facts if fact.label == "Without a verdict, init"] == shown


def test_the_report_says_why_a_zero_is_one(tmp_path: Path) -> None:
    """How all answers ended, and only where none passed."""
    found = line(tmp_path, "humaneval_init", ["x"])
    known = found.model_copy(update={"files": {**found.files, "summary.json": "d" * 64}})
    for passed, shown in ((1, []), (0, ["162 AssertionError; 2 SyntaxError"])):
        summary = {**EVALUATION_SUMMARY, "passed": passed, "endings": {"AssertionError": 162, "SyntaxError": 2}}
        (Path(found.folder) / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        (section,) = [each for each in exhibits({"humaneval_init": known}, ()).sections if each.number == 5]
        assert [fact.value for fact in section.facts if fact.label == "Why zero, init"] == shown


def test_hostile_text_can_be_signed(tmp_path: Path) -> None:
    """Control characters, half pairs and markup become JSON that every reader takes; nothing is lost from it."""
    found = {"humaneval_student": line(tmp_path, "humaneval_student", [HOSTILE])}
    shown = Exhibits(grids=grids(found), prompts=prompts(found))
    content = json.loads(shown.model_dump_json())
    assert canonical_json(content)
    (answer,) = shown.grids[0].answers
    assert answer.completion == HOSTILE.replace("\ud800", "\\ud800")
    assert len(answer.reason) <= 200
    assert answer.completion_sha256 == hashlib.sha256(HOSTILE.encode("utf-8", "surrogatepass")).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("problems", [164, 1000])
def test_all_texts_together_stay_within_their_budget(tmp_path: Path, problems: int) -> None:
    """However many problems and models, and however long their texts."""
    names = ("humaneval_teacher", "humaneval_init", "humaneval_student")
    found = {name: line(tmp_path, name, ["y" * 5000] * problems) for name in names}
    shown = grids(found)
    assert [grid.name for grid in shown] == ["teacher", "init", "student"]
    assert sum(len(answer.completion) for grid in shown for answer in grid.answers) <= 131_072
    assert sum(len(prompt.text) for prompt in prompts(found)) <= 65_536
    assert len(prompts(found)) == problems


def test_what_was_trained_on_is_noted_by_problem(tmp_path: Path) -> None:
    """By the problem's place in its file; a search of fewer problems than were put says nothing of any."""
    found = {"humaneval_student": line(tmp_path, "humaneval_student", ["a", "b", "c"])}
    assert [prompt.trained_ngrams for prompt in prompts(found)] == [None, None, None]
    overlap = {"documents": 9, "ngrams": 99, "contaminated": {"1": 7}}
    renamed = {"ngram": 8, "problems": 3, "corpus": overlap, "benchmark": overlap}
    for problems, expected in ((3, [0, 7, 0]), (2, [None, None, None])):
        content = {"ngram": 10, "problems": problems, "corpus": overlap, "benchmark": overlap, "renamed": renamed}
        folder = tmp_path / f"overlap-{problems}"
        folder.mkdir()
        (folder / "overlap.json").write_text(json.dumps(content), encoding="utf-8")
        searched = EvidenceLine(
            name="contamination", digest="d" * 64, folder=str(folder), files={"overlap.json": "d" * 64}
        )
        assert [each.trained_ngrams for each in prompts({**found, "contamination": searched})] == expected


def test_evidence_without_samples_still_gives_the_outcomes(tmp_path: Path) -> None:
    """The grid of outcomes does not depend on the texts."""
    whole = line(tmp_path, "humaneval_student", ["a", "b"])
    bare = whole.model_copy(update={"files": {"results.jsonl": whole.files["results.jsonl"]}})
    (grid,) = grids({"humaneval_student": bare})
    assert (grid.outcomes, grid.answers, prompts({"humaneval_student": bare})) == (("failed", "failed"), (), ())
    assert grids({}) == ()
