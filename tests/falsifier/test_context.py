"""What a falsifier is handed: files that are there, numbers that are finite, and a note of what it read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from refute import Context, Evidence
from refute.errors import EvidenceError


def evidence(folder: Path, **files: bytes) -> Evidence:
    """Evidence `student` with the given files; `__` in a name stands for its dot."""
    digests: dict[str, str] = {}
    for name, data in files.items():
        file = name.replace("__", ".")
        (folder / file).write_bytes(data)
        digests[file] = hashlib.sha256(data).hexdigest()
    return Evidence("student", "d" * 64, folder, digests)


def test_an_absent_file_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    """The message says what the experiment did write."""
    found = evidence(tmp_path, a__json=b"1", b__json=b"2")
    with pytest.raises(EvidenceError, match=r"'student' holds no file 'c\.json'; it holds: a\.json, b\.json"):
        found.path("c.json")


def test_a_file_beside_the_evidence_cannot_be_reached(tmp_path: Path) -> None:
    """Only names of the manifest are opened: a path out of the folder is no name."""
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    folder = tmp_path / "evidence"
    folder.mkdir()
    for name in ("../secret", str(tmp_path / "secret"), "."):
        with pytest.raises(EvidenceError, match="holds no file"):
            evidence(folder, a__json=b"1").path(name)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, text: str) -> None:
    """In JSON and in rows, as constants and as decimals too large for a float."""
    found = evidence(tmp_path, a__json=f'{{"x": [{text}]}}'.encode(), a__jsonl=f'{{"x": {text}}}\n'.encode())
    with pytest.raises(EvidenceError, match=f"a.json: holds the number {text}, which is not finite"):
        found.json("a.json")
    with pytest.raises(EvidenceError, match=f"a.jsonl:1: holds the number {text}, which is not finite"):
        found.rows("a.jsonl")


def test_rows_keep_order_and_odd_characters(tmp_path: Path) -> None:
    """Line separators inside JSON text cut nothing; blank lines and Windows line ends are no rows."""
    text = '{"n": 2, "t": "a\u2028b\u0085c\x1cd"}\r\n\n  \n{"n": 1}'.replace("\x1c", "\\u001c")
    rows = evidence(tmp_path, a__jsonl=text.encode()).rows("a.jsonl")
    assert rows == [{"n": 2, "t": "a\u2028b\u0085c\x1cd"}, {"n": 1}]


@pytest.mark.parametrize("line", ["[1]", "3", "null", '"text"'])
def test_a_row_must_be_an_object(tmp_path: Path, line: str) -> None:
    """A line that is another JSON value is named by its number, blank lines counted as an editor counts them."""
    with pytest.raises(EvidenceError, match=r"evidence 'student': a\.jsonl:3: expected a JSON object, found "):
        evidence(tmp_path, a__jsonl=f"{{}}\n\n{line}\n".encode()).rows("a.jsonl")


@pytest.mark.parametrize("data", [b"{", b"", b"\xff\xfe", b"{} {}"])
def test_a_file_that_is_not_json_is_an_error(tmp_path: Path, data: bytes) -> None:
    """Truncated, empty, wrongly encoded and trailing text all raise and name the file; nothing is made up."""
    with pytest.raises(EvidenceError, match=r"evidence 'student': a\.json: is not (JSON: (Expect|Extra)|UTF-8)"):
        evidence(tmp_path, a__json=data).json("a.json")


@pytest.mark.parametrize("line", ['{"x": ', "{'x': 1}", '{"x": NaN}', '{"x": 1e999}'])
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    """Whatever is wrong with it, so that nobody has to look for it among a hundred thousand."""
    with pytest.raises(EvidenceError, match=r"evidence 'student': a\.jsonl:4: (is not JSON|holds the number)"):
        evidence(tmp_path, a__jsonl=f"{{}}\n\n{{}}\n{line}\n".encode()).rows("a.jsonl")


def test_every_file_that_is_read_is_noted(tmp_path: Path) -> None:
    """By digest, once, sorted; files that were not opened are not among them."""
    files = {"a__json": b"1", "b__jsonl": b"{}\n", "c__json": b"3"}
    context = Context({}, {"student": evidence(tmp_path, **files)})
    assert context.files_read() == ()
    context.evidence("student").json("a.json")
    context.evidence("student").json("a.json")
    context.evidence("student").rows("b.jsonl")
    assert context.files_read() == tuple(sorted(hashlib.sha256(data).hexdigest() for data in (b"1", b"{}\n")))


def test_undeclared_evidence_is_refused_with_what_to_do() -> None:
    """The message names what is available, the hint where to add it."""
    with pytest.raises(EvidenceError, match="'student' was not provided; available here: nothing") as caught:
        Context({}, {}).evidence("student")
    assert "`needs`" in caught.value.hint


def test_a_row_of_each_key_and_no_second_one(tmp_path: Path) -> None:
    """In the order of the file; a row without the key, and two with one value of it, are named."""
    found = evidence(tmp_path, a__jsonl=b'{"step": 2}\n{"step": 1}\n', b__jsonl=b'{"step": 1}\n{"step": 1, "ce": 2}\n')
    assert list(found.rows_by("a.jsonl", "step").items()) == [(2, {"step": 2}), (1, {"step": 1})]
    with pytest.raises(EvidenceError, match=r"a\.jsonl: row 1 has no 'window'"):
        found.rows_by("a.jsonl", "window")
    with pytest.raises(EvidenceError, match=r"b\.jsonl: step 1 stands there twice"):
        found.rows_by("b.jsonl", "step")
