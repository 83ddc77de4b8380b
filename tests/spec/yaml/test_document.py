"""YAML files: what is refused, with which line, and that nothing but SpecError ever comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from refute.errors import Problem, SpecError
from refute.outcome import Severity
from refute.spec.yaml import document as strict_yaml
from refute.spec.yaml.document import Document, Value, dotted, load_yaml, located, parse_yaml, validate

# Time limits of single examples say nothing on a machine that is busy with other work.
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SURPRISES = [
    *("yes", "No", "ON", "off", "y", "N", "True", "FALSE", "~", "Null", "NULL", ".inf", "-.INF", ".NaN"),
    *("010", "08", "-007", "00", "00.5", "0o10", "0x1F", "0b11", "1_000", "1_0.5", "1_0e3", "1:30", "1:30.5"),
    *("190:20:30", "2026-01-01", "2026-01-01T00:00:00Z", "2026-1-1 10:00:00", "=", "1e999", "-1e999"),
    *("9007199254740992", "1" * 900, "1.5_0", ".5_0"),
]  # fmt: skip
PLAIN: list[tuple[str, Value]] = [
    *(("true", True), ("false", False), ("null", None), ("0", 0), ("-5", -5), ("+1", 1), ("17", 17)),
    *(("1e-3", 0.001), ("1.5e-5", 1.5e-5), ("1e3", 1000.0), ("0.5", 0.5), (".5", 0.5), ("1.", 1.0)),
    *(("1.2.3", "1.2.3"), ("no way", "no way"), ("10:30 sharp", "10:30 sharp"), ("1e", "1e"), ("2026", 2026)),
    ("9007199254740991", 9007199254740991),
]  # fmt: skip


class Leaf(BaseModel):
    """A strict leaf with a tag, an enum and a union."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["leaf"]
    severity: Severity = Severity.BLOCK
    size: int | str | None = None


class Branch(BaseModel):
    """The other member of the tagged union."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["branch"]
    thresholds: dict[str, float] = {}

    @model_validator(mode="after")
    def _no_zero(self) -> Branch:
        zeros: list[tuple[tuple[str | int, ...], str]] = [
            (("thresholds", name), "is {zero}") for name, value in self.thresholds.items() if value == 0
        ]
        if zeros:
            raise located(zeros)
        return self


class Tree(BaseModel):
    """A root with a list of a tagged union."""

    model_config = ConfigDict(extra="forbid", strict=True)
    parts: tuple[Annotated[Leaf | Branch, Field(discriminator="kind")], ...] = Field(alias="of")


def problems(text: str) -> list[Problem]:
    """The problems that parsing `text` reports."""
    with pytest.raises(SpecError, match=r"f\.yaml") as caught:
        parse_yaml(text, "f.yaml")
    return list(caught.value.problems)


def faults(text: str) -> list[str]:
    """The problems that validating `text` as a Tree reports."""
    with pytest.raises(SpecError, match=r"f\.yaml") as caught:
        validate(parse_yaml(text, "f.yaml"), Tree)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("word", SURPRISES)
def test_unquoted_word_that_yaml_versions_read_differently_is_refused(word: str) -> None:
    """A word that YAML 1.1 and 1.2 read differently must be quoted, as a value and as a key."""
    (problem,) = problems(f"a: 1\nb:\n  - {word}\n")
    assert (problem.line, problem.key) == (3, "b[0]")
    assert "quote it" in problem.message
    assert [each.line for each in problems(f"a: 1\n{word}: 2\n")] == [2]
    assert parse_yaml(f"a: '{word}'\n\"{word}\": 1", "f.yaml").data == {"a": word, word: 1}


@pytest.mark.parametrize(("word", "value"), PLAIN)
def test_unquoted_word_that_means_one_thing_is_read_as_it_looks(word: str, value: Value) -> None:
    """Numbers, true, false, null and other words are read as they look, with that type."""
    found = parse_yaml(f"a: {word}", "f.yaml").data["a"]
    assert (found, type(found)) == (value, type(value))


@BUSY
@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=12))
def test_plain_word_never_means_something_else_to_pyyaml(word: str) -> None:
    """Whatever is accepted as text is also text to a YAML 1.1 reader."""
    try:
        found = parse_yaml(f"a: {word}", "f.yaml").data["a"]
    except SpecError:
        return
    if isinstance(found, str):
        assert yaml.safe_load(f"a: {word}")["a"] == found


def test_every_key_and_item_keeps_its_line() -> None:
    """The line of a key is where it stands, and a path that is missing has its parent's line."""
    document = parse_yaml("# c\na:\n  b: x\n  c:\n    - 1\n    -\n      d: >\n        text\n", "f.yaml")
    assert document.data == {"a": {"b": "x", "c": [1, {"d": "text\n"}]}}
    lines = [document.line_of(path) for path in (("a",), ("a", "b"), ("a", "c", 0), ("a", "c", 1, "d"))]
    assert lines == [2, 3, 5, 7]
    assert document.line_of(("a", "b", "missing")) == 3
    assert document.line_of(()) == 2


def test_dotted_path_shows_list_positions() -> None:
    """Paths read like the expression that would fetch the value."""
    assert dotted(("criteria", 3, "falsifiers", 0, "id")) == "criteria[3].falsifiers[0].id"
    assert dotted((0, "a")) == "[0].a"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "duplicate key `a`, first on line 1"),
        ("a: {b: 1, b: 2}", 1, "duplicate key `b`"),
        ("a: 1\n'a': 2", 2, "duplicate key `a`"),
        ("a: &x 1", 1, "anchors"),
        ("a: &x {}", 1, "anchors"),
        ("a: 1\nb: *x", 2, "aliases"),
        ("*x : 1", 1, "aliases"),
        ("a: 1\n<<: {b: 2}", 2, "merge keys"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags"),
        ("a: !!str 1", 1, "tags"),
        ("a: ! 010", 1, "tags"),
        ("a: !!map {}", 1, "tags"),
        ("a: 1\n---\nb: 1", 2, "second YAML document"),
        ("%YAML 1.1\n---\na: 1", 1, "directives"),
        ("", 1, "is empty"),
        ("# only a comment\n", 1, "is empty"),
        ("- 1", 1, "expected keys and values"),
        ("text", 1, "expected keys and values"),
        ("a:\nb: 1", 1, "has no value"),
        ("1: a", 1, "is not text"),
        ("null: a", 1, "is not text"),
        ("a: 1\n? [b]\n: 1", 2, "a key must be plain text"),
        ("a: 1\nb: >= 15 %", 2, "must be quoted"),
        ("a: 1\nb: > 0 nat/token", 2, "must be quoted"),
        ("a:\n\tb: 1", 2, "is not YAML"),
        ("a: 'open", 1, "is not YAML"),
        ("a: \x01", 1, "is not YAML"),
        ("a: \ud800", 1, "is not YAML"),
        ("a: 1\nb: x\u2028y", 2, r"U\+2028"),
        ("a: x\x85y", 1, r"U\+0085"),
        ("a: " + "[" * 40 + "]" * 40, 1, "more than 40 levels"),
        ("[" * 100_000, 1, "more than 40 levels"),
        ("{a: " * 100_000, 1, "more than 40 levels"),
    ],
)
@pytest.mark.parametrize("loader", ["C", "pure"])
def test_misleading_or_harmful_yaml_is_refused_at_its_line(
    text: str, line: int, message: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could mislead a reader or harm a parser is a problem with its line, in both PyYAML parsers."""
    if loader == "pure":
        monkeypatch.setattr(strict_yaml, "_LOADER", yaml.SafeLoader)
    with pytest.raises(SpecError, match=message) as caught:
        parse_yaml(text, "f.yaml")
    assert line in {problem.line for problem in caught.value.problems}


def test_forty_levels_are_allowed() -> None:
    """The depth limit does not refuse what it promises to accept."""
    assert parse_yaml("a: " + "[" * 39 + "]" * 39, "f.yaml").data


def test_all_problems_are_reported_at_once_in_the_order_of_lines() -> None:
    """A second fault is not hidden by the first, not even by a syntax error after it."""
    assert [problem.line for problem in problems("a: no\nb: 010\nb: 1\nc: 'open")] == [1, 2, 3, 4]


def test_flood_of_problems_is_cut_off_and_says_so() -> None:
    """A hostile file cannot make the report endless."""
    found = problems("a: [" + "~," * 5000 + "]")
    assert len(found) == 101
    assert "the rest of the file was not read" in found[-1].message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: \xff\n", "not UTF-8"),
        ("a: 1".encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbfa: 1", "byte order mark"),
        (b"a: 1 # " + b"x" * 1024 * 1024, "larger than 1048576 bytes"),
    ],
)
def test_file_that_is_not_small_utf8_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    """Size and encoding are checked before anything is parsed."""
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError, match=message):
        load_yaml(path)


def test_missing_file_and_folder_are_spec_errors(tmp_path: Path) -> None:
    """A path that cannot be read is a SpecError that names it."""
    with pytest.raises(SpecError, match=r"none\.yaml:1: cannot be read: No such file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_yaml(tmp_path)


def test_read_text_gives_back_the_files_bytes(tmp_path: Path) -> None:
    """Line ends stay as they are, so a digest of the text is a digest of the file."""
    path = tmp_path / "f.yaml"
    path.write_bytes("a: ü\r\nb: 1\r\n".encode())
    assert strict_yaml.read_text(path).encode("utf-8") == path.read_bytes()
    assert load_yaml(path).data == {"a": "ü", "b": 1}


TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=5)
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@BUSY
@given(st.dictionaries(TEXT, JSON_LIKE, max_size=3))
def test_json_with_quoted_text_is_read_back_unchanged(data: dict[str, Value]) -> None:
    """JSON is YAML: quoted text and plain numbers come back as they were."""
    assert parse_yaml(json.dumps(data, ensure_ascii=False), "f.yaml").data == data


TOKENS = st.lists(
    st.sampled_from([*"abn01-:?,[]{}&*!|>'\"%@`#~=<. \n\t\\", "\n  ", ": ", "- ", "---\n", "<<: ", "1e-3"]),
    max_size=30,
).map("".join)


@pytest.mark.slow
@BUSY
@given(TOKENS | st.text())
def test_any_text_is_data_or_a_spec_error(text: str) -> None:
    """No text whatever makes the parser raise anything but SpecError with a line from 1."""
    lines = [1]
    try:
        document = parse_yaml(text, "f.yaml")
    except SpecError as error:
        lines = [problem.line for problem in error.problems]
    else:
        assert json.loads(json.dumps(document.data, allow_nan=False)) == document.data
    assert lines
    assert min(lines) >= 1


@BUSY
@given(data=st.binary(max_size=200) | TOKENS.map(str.encode))
def test_any_file_is_data_or_a_spec_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """No file whatever makes the loader raise anything but SpecError."""
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    try:
        loaded = load_yaml(path)
    except SpecError:
        return
    assert isinstance(loaded, Document)


def test_validate_reports_each_fault_with_line_key_and_suggestion() -> None:
    """Unknown keys come with the closest known one, values with what was found, all in one error."""
    text = (
        "of:\n- kind: leaf\n  sevrity: block\n- kind: leaf\n  severity: blok\n  size: 1.5\n"
        "- kind: branch\n  thresolds: {}\nextra: 1\n"
    )
    found = faults(text)
    assert "f.yaml:3: of[0].sevrity: unknown key `sevrity`; did you mean `severity`?" in found
    assert "f.yaml:5: of[1].severity: should be 'block', 'warn' or 'info', found \"blok\"" in found
    assert "f.yaml:6: of[1].size: should be a valid integer or a valid string, found 1.5" in found
    assert "f.yaml:8: of[2].thresolds: unknown key `thresolds`; did you mean `thresholds`?" in found
    assert "f.yaml:9: extra: unknown key `extra`; known: `of`" in found


def test_validate_names_a_missing_key_at_its_parents_line() -> None:
    """A missing key has no line of its own; its parent's is given."""
    assert faults("parts: []") == [
        "f.yaml:1: of: this required key is missing",
        "f.yaml:1: parts: unknown key `parts`; known: `of`",
    ]


def test_validate_places_the_faults_of_a_validator_below_its_model() -> None:
    """A validator's own faults keep their text, braces included, and get the line of their key."""
    assert "f.yaml:5: of[0].thresholds.b: is {zero}" in faults(
        "of:\n- kind: branch\n  thresholds:\n    a: 1.0\n    b: 0.0\n"
    )


def test_validate_is_strict_but_takes_enums_and_tuples() -> None:
    """Lists fill tuples and words fill enums, while numbers are not taken for text."""
    tree = validate(parse_yaml("of: [{kind: leaf, severity: warn, size: 3}]", "f.yaml"), Tree)
    assert tree.parts == (Leaf(kind="leaf", severity=Severity.WARN, size=3),)
    assert faults("of: [{kind: branch, thresholds: {a: '1'}}]")
