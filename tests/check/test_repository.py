"""`refute check`: every problem of every file at once, with file and line, and nothing run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refute.check.repository import Findings, check_files
from refute.check.reviews import review
from refute.cli.commands.init import scaffold
from refute.spec.criteria import load_spec

SPEC, RELEASE = "specs/example.yaml", "specs/releases/example.yaml"
DISTILLATION = """
distillation:
  teacher: {format: hf, path: model}
  init: {method: load, model: {format: hf, path: PATH}}
  corpus: {kind: files, path: corpus, train_tokens: 9, heldout_tokens: 9}
  training: {steps: 1, batch_size: 1, micro_batch_size: 1, seq_len: 2, learning_rate: 0.1, min_learning_rate: 0,
    ce_weight: 0.3, kd_weight: 0.7, temperature: 1.0, eval_every: 1, eval_windows: 1, checkpoint_every: 1}
  humaneval: {problems: {path: p, sha256: DIGEST}, prompt: completion, max_new_tokens: 1, batch_size: 1}
""".replace("DIGEST", "a" * 64)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The scaffolded example."""
    scaffold(tmp_path)
    return tmp_path


def check(repo: Path) -> Findings:
    """What `refute check` finds there."""
    return check_files([repo / "specs"], [repo / "falsifiers"])


def edit(repo: Path, name: str, old: str, new: str) -> None:
    """Replace one part of a file; it must be there."""
    text = (repo / name).read_text(encoding="utf-8")
    assert old in text
    (repo / name).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "line", "message"),
    [
        (SPEC, "answer-accuracy", "answer-acuracy", 15, "did you mean `answer-accuracy`?"),
        (SPEC, ">= 80 %", ">= 80 share", 17, "measures `accuracy` in '%', but the bar is in 'share'"),
        (SPEC, "accuracy: {", "acuracy: {", 17, "does not measure `acuracy`; did you mean `accuracy`?"),
        (SPEC, "    phase: 1\n", "    phase: 1\n    phase: 1\n", 13, "phase"),
        (SPEC, "severity: block", "severity: no", 11, "severity"),
        (SPEC, "AC-EXAMPLE-002", "AC-EXAMPLE-001", 19, "duplicate id AC-EXAMPLE-001"),
        (SPEC, "version: 1\n", "version: 1\ntitel: x\n", 5, "did you mean `title`?"),
        (SPEC, "uses: answers-complete", "uses: answers-complete\n        with: {x: 1}", 27, "it takes none"),
        (RELEASE, "run_class: quick", "run_class: quik", 5, "run_class"),
        (RELEASE, "operator: me", "operater: me", 6, "did you mean `operator`?"),
        (RELEASE, "subject: answers", "specs: [../other.yaml]", 1, "there is no file ../other.yaml"),
        (RELEASE, "  answers:", "  release:", 1, "that name is taken by refute's own evidence"),
    ],
)
def test_a_mistake_has_its_file_and_line(repo: Path, name: str, old: str, new: str, line: int, message: str) -> None:
    """One mistake in a good file is one problem, at the line where it was made."""
    edit(repo, name, old, new)
    problems = check(repo).problems
    assert [(Path(problem.file), problem.line) for problem in problems] == [(repo / name, line)], problems
    assert message in str(problems[0])


def test_all_files_are_reported_at_once(repo: Path) -> None:
    """Faults in two specs (either file extension) and a release come together; none hides another."""
    (repo / "specs/second.yml").write_text((repo / SPEC).read_text(encoding="utf-8"), encoding="utf-8")
    edit(repo, "specs/second.yml", "SPEC-EXAMPLE-001", "SPEC-SECOND-001")
    (repo / "specs/third.yaml").write_text("spec: [", encoding="utf-8")
    edit(repo, RELEASE, "release: example", "release: Example!")
    found = check(repo)
    places = {Path(problem.file).name for problem in found.problems}
    assert places == {"second.yml", "third.yaml", "example.yaml"}
    assert (found.specs, found.releases) == (3, 1)
    assert sum("duplicate id" in problem.message for problem in found.problems) == 4


def test_a_criterion_without_falsifiers_is_uncovered(repo: Path) -> None:
    """A claim that nothing attacks is a problem."""
    text = (repo / SPEC).read_text(encoding="utf-8")
    (repo / SPEC).write_text(text[: text.rindex("    falsifiers:")] + "    falsifiers: []\n", encoding="utf-8")
    assert ["[spec/uncovered]" in problem.message for problem in check(repo).problems] == [True]


@pytest.mark.slow
def test_own_falsifiers_that_nobody_uses_are_problems(repo: Path) -> None:
    """An unused falsifier of the repository attacks nothing, at its line; those of installed packs need not be used."""
    text = (repo / SPEC).read_text(encoding="utf-8")
    (repo / SPEC).write_text(text[: text.index("  - id: AC-EXAMPLE-002")], encoding="utf-8")
    (problem,) = check(repo).problems
    assert problem.message == "[trace/orphan-falsifier] no spec uses the falsifier 'answers-complete'"
    source = Path(problem.file).read_text(encoding="utf-8").splitlines()
    assert any("answers-complete" in line for line in source[problem.line - 1 : problem.line + 3])


@pytest.mark.slow
def test_a_measurement_without_a_bar_is_a_problem(repo: Path) -> None:
    """What no spec judges, in no use of the falsifier, can be anything; a bar in any use is enough."""
    edit(repo, "falsifiers/answers.py", 'measures={"missing": "answers"}', 'measures={"missing": "answers", "w": "s"}')
    (problem,) = check(repo).problems
    assert "[trace/unthresholded] 'answers-complete' measures 'w'" in problem.message
    edit(repo, SPEC, "missing: {", 'w: { holds_if: "< 9 s" }\n          missing: {')
    assert [problem.code for problem in check(repo).problems] == ["spec/control-misbehaves"], "declared, never measured"


@pytest.mark.slow
def test_ids_that_no_spec_knows_are_problems_wherever_they_stand(repo: Path) -> None:
    """In prose of a spec, in the README, in docs and in falsifiers; not where another's id is a source, not retired
    ones, not examples, not what merely looks like one."""
    edit(repo, SPEC, "It adds correctly", "It adds correctly, see F-SUM-001")
    (repo / "docs/deep").mkdir(parents=True)
    (repo / "README.md").write_text("AC-EXAMPLE-077\nAC-SUM-002 and F-16, RAF-SUM-001, F-SUM-001-b\n", encoding="utf-8")
    (repo / "docs/deep/a.md").write_text("SPEC-SUM-001\n", encoding="utf-8")
    with (repo / "falsifiers/answers.py").open("a", encoding="utf-8") as stream:
        stream.write("# F-SUM-003\n")
    found = {(Path(each.file).name, each.message.split()[4].rstrip(";")) for each in check(repo).problems}
    assert found == {
        ("example.yaml", "F-SUM-001"),
        ("README.md", "AC-SUM-002"),
        ("a.md", "SPEC-SUM-001"),
        ("answers.py", "F-SUM-003"),
    }
    edit(repo, SPEC, "    severity: block", "    source: once F-SUM-001\n    severity: block")
    retired = "".join(f"  - {{id: {name}, reason: r}}\n" for name in ("AC-SUM-002", "F-SUM-003"))
    edit(repo, SPEC, "criteria:\n", f"retired:\n{retired}criteria:\n")
    assert [Path(each.file).name for each in check(repo).problems] == ["a.md"]
    assert check_files([repo / "specs"], [repo / "falsifiers"], documents=[]).problems == ()


@pytest.mark.slow
def test_a_criterion_that_changed_after_its_review_makes_suspects(repo: Path) -> None:
    """Without reviews there is a note; with them a changed bar is a problem until it is reviewed again."""
    assert [note for note in check(repo).notes if "reviews.json" in note]
    specs = [load_spec(repo / SPEC).spec]
    review(repo / "specs/reviews.json", specs, (), "Ann")
    assert check(repo) == Findings((), (), 1, 1, check(repo).falsifiers)
    edit(repo, SPEC, ">= 80 %", ">= 70 %")
    (problem,) = check(repo).problems
    assert problem.message.startswith("[trace/suspect] F-EXAMPLE-001 is a suspect: AC-EXAMPLE-001 or its bars")
    (repo / "specs/reviews.json").write_text("{", encoding="utf-8")
    (problem,) = check(repo).problems
    assert "[trace/reviews]" in problem.message


def test_inputs_that_are_elsewhere_are_noted(repo: Path) -> None:
    """A release whose models are not on this machine is still right; what is missing is listed."""
    edit(repo, RELEASE, "subject: answers\n", DISTILLATION.replace("PATH", "init"))
    (repo / "evidence/answers.jsonl").unlink()
    found = check(repo)
    assert [problem.key for problem in found.problems] == ["evidence.answers"]
    assert [note.split(": ")[2] for note in found.notes if "not on this machine" in note] == [
        "distillation.corpus",
        "distillation.humaneval.problems",
        "distillation.init",
        "distillation.teacher",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["absent", "pipe", "pipe in a folder"])
def test_evidence_that_cannot_be_read_is_a_problem_where_a_falsifier_needs_it(repo: Path, kind: str) -> None:
    """With its place in the release; of evidence that nobody asks for, it is a note."""
    answers = repo / "evidence/answers.jsonl"
    answers.unlink()
    if kind == "pipe in a folder":
        answers.mkdir()
        answers /= "pipe"
    if kind != "absent":
        os.mkfifo(answers)
    (problem,) = check(repo).problems
    assert (problem.key, problem.code, problem.line > 1) == ("evidence.answers", "release/unreadable-evidence", True)
    assert str(answers) in problem.message
    for name in ("answer-accuracy", "answers-complete"):
        edit(repo, SPEC, f"uses: {name}", "planned: some day")
    assert any("evidence.answers" in note for note in check(repo).notes)


def test_a_release_that_distils_a_model_from_itself_is_a_problem(repo: Path) -> None:
    """teacher == init is found without touching either."""
    edit(repo, RELEASE, "subject: answers\n", DISTILLATION.replace("PATH", "../releases/model"))
    (problem,) = check(repo).problems
    assert "teacher and init are the same model" in problem.message


@pytest.mark.parametrize("path", ["absent", "absent.yaml", "specs/releases/absent.yaml", "evidence"])
def test_looking_where_nothing_is_is_a_problem(repo: Path, path: str) -> None:
    """A path that is not there, or a folder without specs, is never `no problems`."""
    found = check_files([repo / path], [])
    assert found.problems
    assert str(repo / path) in "\n".join(found.lines())


# ------------------------------------------------------------------------------------------------ before a run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "line", "message"),
    [
        (
            SPEC,
            '">= 80 %"',
            '">= 0 %"',
            16,
            "[spec/untestable-bar] F-EXAMPLE-001, `answer-accuracy`: control 'mostly wrong'",
        ),
        (
            SPEC,
            '"== 0 answers"',
            '"<= 1 answers"',
            27,
            "control 'one missing' must be falsified under these bars, but is",
        ),
        (
            RELEASE,
            "subject: answers",
            "subject: answer",
            7,
            "nothing provides the subject `answer`; did you mean `answers`?",
        ),
        (RELEASE, "  answers:", "  answerz:", 15, "needs `answers`, which release"),
    ],
)
def test_what_a_run_would_end_in_is_told_before(
    repo: Path, name: str, old: str, new: str, line: int, message: str
) -> None:
    """Bars that break controls, evidence and subjects that nothing provides: with file and line."""
    edit(repo, name, old, new)
    found = [problem for problem in check(repo).problems if message in str(problem)]
    assert found, check(repo).problems
    assert found[0].line == line


@pytest.mark.slow
def test_a_bar_that_no_control_fails_alone_is_told(repo: Path) -> None:
    """Two measurements that only ever fail together show nothing about either."""
    edit(
        repo, "falsifiers/answers.py", 'measures={"missing": "answers"}', 'measures={"missing": "answers", "gaps": "s"}'
    )
    gaps = 'yield Measurement("gaps", sum(row["answer"] is None for row in rows), "s", n=len(rows))'
    twice = f'"answers", n=len(rows))\n    {gaps}'
    text = (repo / "falsifiers/answers.py").read_text(encoding="utf-8")
    (repo / "falsifiers/answers.py").write_text(text.rstrip().removesuffix('"answers", n=len(rows))') + twice + "\n")
    edit(repo, SPEC, "missing: {", 'gaps: { holds_if: "== 0 s" }\n          missing: {')
    assert {problem.code for problem in check(repo).problems} == {"spec/bar-not-shown"}
    assert "no control shows that gaps: == 0 s can fail" in check(repo).problems[0].message


@pytest.mark.slow
def test_specs_in_subfolders_and_yml_are_specs(repo: Path) -> None:
    """Releases are not, wherever they lie; hidden folders are nobody's."""
    (repo / "specs/more").mkdir()
    (repo / SPEC).rename(repo / "specs/more/example.yml")
    (repo / RELEASE).rename(repo / "specs/releases/example.yml")
    (repo / "specs/.hidden").mkdir()
    (repo / "specs/.hidden/no.yaml").write_text("spec: no", encoding="utf-8")
    found = check(repo)
    assert (found.problems, found.specs, found.releases) == ((), 1, 1)


def test_a_release_where_a_spec_is_meant_is_named(repo: Path) -> None:
    """And the other way round: neither is a list of forty unknown keys."""
    (repo / RELEASE).rename(repo / "specs/misplaced.yaml")
    (problem,) = [problem for problem in check(repo).problems if "misplaced" in problem.file]
    assert problem.message == "this is a release, where a spec is expected"
    (repo / SPEC).rename(repo / "specs/releases/misplaced.yaml")
    assert "this is a spec, where a release is expected" in {problem.message for problem in check(repo).problems}


@pytest.mark.slow
def test_of_several_releases_the_one_that_is_taken_is_told(repo: Path) -> None:
    """Or that none is."""
    text = (repo / RELEASE).read_text(encoding="utf-8")
    (repo / "specs/releases/other.yaml").write_text(text, encoding="utf-8")
    assert any(
        "`refute gate` takes none of them unasked; name one with --release" in note for note in check(repo).notes
    )
    (repo / "specs/releases/embedded.yaml").write_text(text, encoding="utf-8")
    assert any("embedded.yaml unasked" in note for note in check(repo).notes)
