"""Waiver files: one malformed entry hides none of the others, and a file that cannot be read stops the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.errors import SpecError
from refute.spec.waiver import load_waivers

GOOD = """\
  - criterion: AC-GOOD
    subject_sha256: "{digest}"
    approver: Ann
    reason: known
    expires_at: "2027-01-31T00:00:00Z"
""".format(digest="5" * 64)


def write(folder: Path, text: str) -> Path:
    """A waiver file."""
    path = folder / "waivers.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"2027-01-31T00:00:00Z"', "2027-01-31T00:00:00Z", "line 6: expires_at: `2027-01-31T00:00:00Z` is a date"),
        ('"2027-01-31T00:00:00Z"', '"2027-01-31"', "line 6: expires_at: String should match pattern"),
        ("    reason: known\n", "", "line 2: reason: this required key is missing"),
        ("approver:", "aprover:", "did you mean `approver`"),
        ("    reason: known\n", "    reason: known\n    reason: better\n", "line 6: reason: duplicate key"),
        ("reason: known", "reason: no", "is a boolean in YAML 1.1"),
        ("reason: known", "reason: *other", "aliases"),
        ("reason: known", "reason: {a: b}", "line 5: reason: "),
    ],
)
def test_a_malformed_entry_is_listed_beside_the_others(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """Named by criterion and line, before or after entries that are well formed."""
    bad = GOOD.replace("AC-GOOD", "AC-BAD").replace(old, new)
    for text in ("waivers:\n" + bad + GOOD, "waivers:\n" + bad + GOOD + GOOD):
        found = load_waivers(write(tmp_path, text))
        assert [each.criterion for each in found.waivers] == ["AC-GOOD"] * text.count("AC-GOOD")
        assert [each.criterion for each in found.malformed] == ["AC-BAD"]
        assert fault in found.malformed[0].fault


def test_an_entry_of_another_shape_is_malformed(tmp_path: Path) -> None:
    """Text, a list, nothing: each is listed by its place, in the order of the file."""
    found = load_waivers(write(tmp_path, "waivers:\n  - AC-GOOD\n" + GOOD + "  - []\n  - {criterion: 3}\n"))
    assert len(found.waivers) == 1
    assert [each.fault.partition(":")[0] for each in found.malformed] == ["line 2", "line 8", "line 9"]
    assert {each.criterion for each in found.malformed} == {""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "waivers:\n  - [\n",
        "waiver: []\n",
        "waivers: {}\n",
        "waivers: []\nwaivers: []\n",
        "waivers: []\nmore: 1\n",
        'waivers: []\n"waivers[0]": 1\n',
        "waivers:\n" + GOOD + "---\nwaivers: []\n",
    ],
)
def test_a_fault_outside_the_entries_stops_everything(tmp_path: Path, text: str) -> None:
    """A file that is not what it seems gives no waivers at all, and an error with its name."""
    with pytest.raises(SpecError, match=r"waivers\.yaml:\d"):
        load_waivers(write(tmp_path, text))


def test_a_file_without_entries_waives_nothing(tmp_path: Path) -> None:
    """It is allowed: a repository may keep an empty one."""
    assert load_waivers(write(tmp_path, "waivers: []\n")).waivers == ()
