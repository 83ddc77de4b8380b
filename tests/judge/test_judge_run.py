"""From a run folder to a signed verdict: every file is hashed again, and what was changed is named and fatal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from json_lines import read_rows, write_rows
from refute.attest import PrivateKey, hash_model, public_pem
from refute.disk import file_sha256
from refute.errors import UnreadableInputError, UsageError, VerificationError
from refute.evidence.process.provenance import MadeBy
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.outcome import Outcome, Ruling
from refute.verify.verification import verify_verdict
from tampering import overwrite
from tiny_run import RELEASE

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def sign(key: PrivateKey) -> Callable[[RunFolder], Judged]:
    """Judges a run with that key."""
    return lambda run: judge_run(run, Operator(key, development=False))


Sign = Callable[[RunFolder], Judged]


def edit(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the rows of a JSON Lines file."""
    rows = read_rows(path)
    change(rows)
    write_rows(path, rows)


@pytest.mark.slow
def test_an_honest_run_is_go_and_verifies(make_run: MakeRun, sign: Sign, key: PrivateKey, tmp_path: Path) -> None:
    """Signed, about the very file that was judged, with reports beside it; everything offered is checked."""
    run = make_run()
    judged = sign(run)
    assert (judged.predicate.verdict.ruling, judged.predicate.verdict.reasons) == (Ruling.GO, ())
    subject = judged.predicate.subject
    assert (subject.kind, subject.name) == ("evidence_file", "answers.jsonl")
    assert subject.sha256 == file_sha256(tmp_path / "answers.jsonl") == file_sha256(run.path / "subject/answers.jsonl")
    verified = verify_verdict(
        judged.path.read_bytes(), [public_pem(key)], model=tmp_path / "answers.jsonl", store=tmp_path / "store"
    )
    assert verified.predicate == judged.predicate
    assert "2 evidence files hashed again" in verified.checks
    assert not list(run.path.glob(".*"))


@pytest.mark.slow
def test_a_subject_that_no_record_read_is_told_in_the_verdict(make_run: MakeRun, sign: Sign, key: PrivateKey) -> None:
    """The judge says so, from the files that measurements name, and a verifier finds the same."""
    assert not sign(make_run()).predicate.verdict.subject_unread
    judged = sign(make_run(release=RELEASE.replace("subject: answers", "subject: notes"), also=("notes",)))
    assert judged.predicate.verdict.subject_unread
    assert verify_verdict(judged.path.read_bytes(), [public_pem(key)]).predicate == judged.predicate


@pytest.mark.slow
def test_an_honest_failure_is_no_go_with_its_number(make_run: MakeRun, sign: Sign) -> None:
    """What was measured stands in the reasons."""
    verdict = sign(make_run(right=10)).predicate.verdict
    assert verdict.ruling is Ruling.NO_GO
    assert any("F-TINY-001: accuracy = 10 %" in reason for reason in verdict.reasons)


@pytest.mark.slow
def test_evidence_that_strangers_had_a_hand_in_is_fatal(make_run: MakeRun, sign: Sign, key: PrivateKey) -> None:
    """Modules that an experiment loaded from neither the installation nor refute; what made evidence is signed."""
    run = make_run()
    honest = MadeBy(modules="0" * 64, distributions="1" * 64, variables={"OMP_NUM_THREADS": "2"})
    edit(run.path / "evidence.jsonl", lambda rows: rows[0].update(made_by=honest.model_dump(mode="json")))
    judged = sign(run)
    assert (judged.predicate.verdict.ruling, judged.predicate.made_by) == (Ruling.GO, {"answers": honest})
    strange = honest.model_copy(update={"strangers": ("flash_attn",)})
    edit(run.path / "evidence.jsonl", lambda rows: rows[0].update(made_by=strange.model_dump(mode="json")))
    judged = sign(run)
    assert judged.predicate.verdict.ruling is Ruling.NO_GO
    assert "from outside the installation: flash_attn" in judged.predicate.verdict.reasons[0]
    verified = verify_verdict(judged.path.read_bytes(), [public_pem(key)])
    assert verified.predicate.made_by["answers"].strangers == ("flash_attn",)


@pytest.mark.slow
def test_judging_again_gives_the_same_verdict(make_run: MakeRun, sign: Sign) -> None:
    """From the same files; records written in another order, as by `-n 2`, give the same records and verdict."""
    run = make_run()
    first = sign(run).predicate
    edit(run.path / "records.jsonl", lambda rows: rows.reverse())
    again = sign(run).predicate
    assert (again.verdict, again.records, again.subject) == (first.verdict, first.records, first.subject)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["changed", "deleted"])
@pytest.mark.parametrize(
    ("name", "file", "refused"), [("answers", "answers.jsonl", "F-TINY-001"), ("notes", "notes.json", "F-TINY-002")]
)
def test_evidence_changed_after_the_run_is_fatal(
    make_run: MakeRun, sign: Sign, damage: str, name: str, file: str, refused: str
) -> None:
    """Also where only a criterion that is shown rests on it; the file is named, and is in no signed manifest."""
    run = make_run()
    path = Path(run.read_evidence()[name].folder) / file
    if damage == "changed":
        overwrite(path, b'{"right": true}\n' * 100)
    else:
        path.unlink()
    judged = sign(run)
    verdict = judged.predicate.verdict
    assert verdict.ruling is Ruling.NO_GO
    assert any(f"the record of {refused} was refused: evidence {name}/{file}" in reason for reason in verdict.reasons)
    assert name not in judged.predicate.evidence


def swap_digest(rows: list[dict[str, Any]]) -> None:
    rows[0]["evidence"][0][1] = "f" * 64


def other_evidence(rows: list[dict[str, Any]]) -> None:
    rows[0]["evidence"].append(["unheard-of", "f" * 64])


def cite_a_stranger(rows: list[dict[str, Any]]) -> None:
    rows[0]["measurements"][0]["evidence"] = ["f" * 64]


def better_number(rows: list[dict[str, Any]]) -> None:
    rows[0]["measurements"][0].update(value=10.0, interval=None)


def better_outcome(rows: list[dict[str, Any]]) -> None:
    rows[1].update(outcome="falsified")


def repeat(rows: list[dict[str, Any]]) -> None:
    rows.append(rows[1])


def take_away(rows: list[dict[str, Any]]) -> None:
    rows.pop()


def tame_a_control(rows: list[dict[str, Any]]) -> None:
    rows[1]["controls"][1].update(observed="corroborated")


def drop_controls(rows: list[dict[str, Any]]) -> None:
    rows[1]["controls"] = []


def invent(rows: list[dict[str, Any]]) -> None:
    rows.append({**rows[0], "falsifier": "F-TINY-999"})


def raise_class(rows: list[dict[str, Any]]) -> None:
    rows[1]["run_class"] = "full"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swap_digest, "cites evidence 'answers' with digest ffff"),
        (other_evidence, "cites evidence 'unheard-of', which this run did not note"),
        (cite_a_stranger, "cites ffff"),
        (better_number, "recorded as corroborated, but its numbers say falsified"),
        (better_outcome, "recorded as falsified, but its numbers say corroborated"),
        (repeat, "2 records claim this falsifier"),
        (take_away, "partial run"),
        (tame_a_control, "must be falsified, but was corroborated"),
        (drop_controls, "no control was expected"),
        (invent, "SPEC-TINY-001::AC-TINY-001::F-TINY-999, which is in no spec"),
        (raise_class, "recorded in a run of class full, the release says quick"),
    ],
)
def test_records_changed_after_the_run_are_fatal(
    make_run: MakeRun, sign: Sign, key: PrivateKey, change: Callable[[list[dict[str, Any]]], None], reason: str
) -> None:
    """Named in the reasons, whatever the severity; the NO-GO that comes of it verifies like any other."""
    run = make_run()
    edit(run.path / "records.jsonl", change)
    judged = sign(run)
    assert judged.predicate.verdict.ruling is Ruling.NO_GO
    assert any(reason in each for each in judged.predicate.verdict.reasons)
    assert verify_verdict(judged.path.read_bytes(), [public_pem(key)]).predicate == judged.predicate


@pytest.mark.slow
@pytest.mark.parametrize("line", ["", "{", "null", '{"outcome": "corroborated"}'])
def test_a_line_that_is_no_record_is_fatal_and_kept(make_run: MakeRun, sign: Sign, line: str) -> None:
    """Torn, empty or of another form: its number is in the reasons and in what is signed."""
    run = make_run()
    with (run.path / "records.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    predicate = sign(run).predicate
    assert predicate.verdict.ruling is Ruling.NO_GO
    assert predicate.record_faults[0].startswith("records.jsonl line 3 is not a record")


@pytest.mark.slow
def test_a_run_without_records_is_no_go(make_run: MakeRun, sign: Sign) -> None:
    """An empty run is judged, and signed as what it is."""
    run = make_run()
    (run.path / "records.jsonl").unlink()
    verdict = sign(run).predicate.verdict
    assert (verdict.ruling, verdict.partial) == (Ruling.NO_GO, True)


@pytest.mark.slow
def test_a_subject_that_was_not_produced_is_fatal(make_run: MakeRun, sign: Sign) -> None:
    """All criteria hold, but the release names a model that no evidence is: GO about nothing is no GO."""
    run = make_run(release=(make_release(subject="student")))
    predicate = sign(run).predicate
    assert predicate.verdict.ruling is Ruling.NO_GO
    assert predicate.verdict.reasons[0] == "the release's subject 'student' is not among this run's evidence"
    assert predicate.subject.kind == "release_file"


def make_release(subject: str) -> str:
    """The tiny release about another subject."""
    return (
        "release: tiny\ntitle: Tiny answers\nrun_class: quick\noperator: nobody\n"
        f"subject: {subject}\nevidence: {{answers: answers.jsonl, notes: notes.json}}\n"
    )


@pytest.mark.slow
def test_a_folder_is_a_subject_by_its_model_digest(make_run: MakeRun, sign: Sign, tmp_path: Path) -> None:
    """`model/` of the evidence where there is one: the digest that model signing gives, names bound beside it."""
    folder = tmp_path / "mine" / "model"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name, encoding="utf-8")
    (tmp_path / "mine" / "log.txt").write_text("not part of the model", encoding="utf-8")
    release = make_release("student").replace("notes: notes.json", "notes: notes.json, student: mine")
    run = make_run(release=release, also=("student",))
    subject = sign(run).predicate.subject
    assert subject.kind == "model_folder"
    assert subject.sha256 == hash_model(folder).root_digest
    assert subject.manifest_sha256 == hash_model(folder).manifest_digest
    assert sorted(path.name for path in (run.path / "subject").iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["text", "sha256", "id", "run_class"])
def test_a_run_file_that_contradicts_itself_is_not_signed(make_run: MakeRun, sign: Sign, change: str) -> None:
    """A text that is not the one that was hashed, or facts that differ from the text: an error and no verdict."""
    run = make_run()
    content = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    content["release"][change] = {
        "text": content["release"]["text"] + "# changed\n",
        "sha256": "0" * 64,
        "id": "other",
        "run_class": "full",
    }[change]
    (run.path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(VerificationError):
        sign(run)
    assert not (run.path / "verdict.intoto.json").exists()


@pytest.mark.slow
def test_a_lowered_bar_is_seen(make_run: MakeRun, sign: Sign) -> None:
    """A spec text changed after the run, digest and all, gives the records' own outcomes the lie."""
    run = make_run(right=10)
    content = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    text = content["specs"][0]["text"].replace(">= 80 %", ">= 1 %")
    content["specs"][0].update(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
    (run.path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    verdict = sign(run).predicate.verdict
    assert verdict.ruling is Ruling.NO_GO
    assert verdict.criteria[0].outcome is Outcome.ERROR


@pytest.mark.slow
def test_what_cannot_be_read_is_not_judged(make_run: MakeRun, sign: Sign, tmp_path: Path) -> None:
    """No run.json, or an evidence list that is none: errors that say so."""
    with pytest.raises(UsageError, match="is not a run folder"):
        sign(RunFolder(tmp_path))
    run = make_run()
    with (run.path / "evidence.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("{\n")
    with pytest.raises(UnreadableInputError, match="line 3 is not an evidence line"):
        sign(run)
