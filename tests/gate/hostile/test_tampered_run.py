"""Somebody edits a finished run before `refute judge` reads it: NO-GO, or a refusal that names the cause."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

Json = dict[str, Any]


def changed(text: bytes, change: Callable[[Json], object]) -> bytes:
    """The JSON object in `text` after `change`."""
    content = json.loads(text)
    change(content)
    return json.dumps(content).encode() + b"\n"


def record(change: Callable[[Json], object]) -> Callable[[Path], None]:
    """Tampering with the first record, which says accuracy = 97.5 % in [91.3, 99.3]."""
    return lines(lambda found: [changed(found[0], change), *found[1:]])


def asked(change: Callable[[Json], object]) -> Callable[[Path], object]:
    """Tampering with what the run was asked."""
    return lambda run: (run / "run.json").write_bytes(changed((run / "run.json").read_bytes(), change))


def noted(change: Callable[[Json], object], *, everywhere: bool = True) -> Callable[[Path], None]:
    """Tampering with the note of the evidence, of which there is one line for each record that used it."""

    def tamper(run: Path) -> None:
        path = run / "evidence.jsonl"
        first, *rest = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(changed(first, change) * (2 if everywhere else 1) + b"".join([] if everywhere else rest))

    return tamper


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    """Tampering with the lines of records.jsonl."""

    def tamper(run: Path) -> None:
        path = run / "records.jsonl"
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return tamper


def replace_text(part: str, old: str, new: str, *, rehash: bool = False) -> Callable[[Json], None]:
    """Another text of the spec or the release, its digest left as it was unless `rehash`."""

    def change(run: Json) -> None:
        text = run["specs"][0] if part == "specs" else run[part]
        assert old in text["text"]
        text["text"] = text["text"].replace(old, new)
        if rehash:
            text["sha256"] = hashlib.sha256(text["text"].encode()).hexdigest()

    return change


def measured(part: str, **values: object) -> Callable[[Json], None]:
    """Other numbers in the first record: `real`, or of the control of that name."""

    def change(each: Json) -> None:
        found = each if part == "real" else next(one for one in each["controls"] if one["name"] == part)
        found["measurements"][0].update(values)

    return change


def rewrite_evidence(run: Path) -> None:
    """Other bytes behind the same name, in store and view alike."""
    path = next((run.parents[1] / "store/views").rglob("answers.jsonl"))
    path.chmod(0o644)
    path.write_text('{"question": "1", "expected": 1, "answer": 1}\n', encoding="utf-8")


INTERVAL = {"low": 10.0, "high": 30.0, "level": 0.95, "method": "Wilson"}
# name: (what is done, part of the verdict's reasons)
JUDGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a value below the bar": (record(measured("real", value=20.0)), "lies outside its own interval"),
    "a value and its interval": (record(measured("real", value=20.0, interval=INTERVAL)), "its numbers say falsified"),
    "no observations": (record(measured("real", n=0)), "expected at least 1 observation"),
    "another unit": (record(measured("real", unit="points")), "measured in 'points'"),
    "a file of no evidence": (record(measured("real", evidence=["0" * 64])), "a file of no evidence it names"),
    "a value that is no number": (record(measured("real", value=None)), "line 1 is not a record"),
    "an outcome": (record(lambda each: each.update(outcome="inconclusive")), "its numbers say corroborated"),
    "an excuse": (record(lambda each: each.update(outcome="not_applicable")), "does not excuse this release"),
    "a run class": (record(lambda each: each.update(run_class="full")), "the release says quick"),
    "another falsifier": (record(lambda each: each.update(uses="answers-complete")), "the spec uses 'answer-accuracy'"),
    "a control's number": (record(measured("mostly wrong", value=99.0, interval=None)), "its numbers say corroborated"),
    "a value that changes nothing": (record(measured("real", value=98.0)), "was 98.0 %"),
    "a count": (record(measured("real", n=81)), "('accuracy', '%', 81"),
    "the code": (record(lambda each: each.update(code="0" * 64)), "which this run did not register"),
    "no controls": (record(lambda each: each.update(controls=[])), "no control was expected to be falsified"),
    "no measurements": (record(lambda each: each.update(measurements=[])), "was not measured"),
    "no evidence": (record(lambda each: each.update(evidence=[])), "a file of no evidence it names"),
    "an unknown key": (record(lambda each: each.update(passed=True)), "line 1 is not a record"),
    "a stranger": (record(lambda each: each.update(falsifier="F-OTHER")), "which is in no spec"),
    "a line less": (lines(lambda found: found[1:]), "partial run"),
    "no lines": (lines(lambda _: []), "partial run"),
    "half a line": (lines(lambda found: [found[0], found[1][:100]]), "line 2 is not a record"),
    "a line of garbage": (lines(lambda found: [*found, b"\xff\x00}\n"]), "line 3 is not a record"),
    "an empty line": (lines(lambda found: [b"\n", *found]), "line 1 is not a record"),
    "a line twice": (lines(lambda found: [*found, found[0]]), "2 records claim this falsifier"),
    "no records": (lambda run: (run / "records.jsonl").unlink(), "partial run"),
    "the evidence": (rewrite_evidence, "evidence answers/answers.jsonl should have SHA-256"),
    "the note's digest": (noted(lambda each: each.update(digest="0" * 64)), "the run noted 0000"),
    "the note's manifest": (noted(lambda each: each.update(files={"b": "0" * 64})), "does not give its digest"),
    "no note": (lambda run: (run / "evidence.jsonl").unlink(), "which this run did not note"),
    "no spec": (asked(lambda run: run.update(specs=[])), "the spec has no criteria"),
    "a tighter spec": (asked(replace_text("specs", "80 %", "99 %", rehash=True)), "numbers say inconclusive"),
}
# name: (what is done, part of the message)
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "the spec's text": (asked(replace_text("specs", "80 %", "20 %")), "the text of SPEC-EXAMPLE-001 has SHA-256"),
    "the release's text": (asked(replace_text("release", "operator: me", "operator: you")), "text of example has SHA"),
    "a spec that is none": (asked(replace_text("specs", "criteria:", "criterion:", rehash=True)), "criterion"),
    "the release's title": (asked(lambda run: run["release"].update(title="Better")), "differs from what its own text"),
    "the spec's id": (asked(lambda run: run["specs"][0].update(id="SPEC-OTHER-001")), "id of a spec differs"),
    "an unknown key": (asked(lambda run: run.update(verdict="GO")), "is not a run folder"),
    "its falsifiers": (asked(lambda run: run.update(falsifiers=None)), "does not say where its falsifiers lie"),
    "a note of garbage": (lambda run: (run / "evidence.jsonl").write_text("{\n"), "line 1 is not an evidence line"),
    "two notes that differ": (noted(lambda each: each.update(digest="0" * 64), everywhere=False), "different contents"),
    "a name that leads out": (noted(lambda each: each.update(files={"../../x": "0" * 64})), "below its folder"),
}


def reasons(run: Path) -> str:
    """Everything that the report gives as a reason."""
    verdict = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return json.dumps(verdict, ensure_ascii=False)


def test_an_untouched_run_is_go(finished: Repo, cli: Cli) -> None:
    """The copy that the other tests tamper with is GO when nobody does."""
    assert cli("judge", finished.run).returncode == 0
    assert finished.rulings() == ["GO"]


@pytest.mark.parametrize("name", JUDGED)
def test_it_is_judged_no_go(finished: Repo, cli: Cli, name: str) -> None:
    """The judge ends in 1 and signs a NO-GO with the cause, which then verifies as such."""
    tamper, reason = JUDGED[name]
    tamper(finished.run)
    ended = cli("judge", finished.run)
    assert ended.returncode == 1, ended.stderr
    assert finished.rulings() == ["NO-GO"]
    assert reason in reasons(finished.run)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(finished: Repo, cli: Cli, name: str) -> None:
    """What contradicts itself is not judged: one message, a status that is neither GO nor NO-GO, nothing signed."""
    tamper, reason = REFUSED[name]
    tamper(finished.run)
    ended = cli("judge", finished.run)
    assert ended.returncode in (2, 4)
    assert reason in ended.stderr
    assert not (finished.run / "verdict.intoto.json").exists()


def test_a_link_in_the_run_folder_is_not_followed(finished: Repo, cli: Cli, tmp_path: Path) -> None:
    """`subject` made a link to another folder: the judge replaces the link and leaves that folder alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "answers.jsonl").write_text("mine", encoding="utf-8")
    for path in (finished.run / "subject").iterdir():
        path.unlink()
    (finished.run / "subject").rmdir()
    (finished.run / "subject").symlink_to(elsewhere)
    assert cli("judge", finished.run).returncode == 0
    assert (elsewhere / "answers.jsonl").read_text(encoding="utf-8") == "mine"
