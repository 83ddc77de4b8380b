"""Contract files: what is not executable, not complete or not unique is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.check.contracts.model import duplicate_ids, load_contract
from refute.errors import SpecError

GOOD = """\
contract: C-SUM
version: 1
title: Sums
sources:
  - paper: Peano 1889
modules: [refute.stats]
equations:
  sum: {formula: s = a + b, domain: a and b real, codomain: the reals}
invariants:
  symmetric: The order does not show.
tolerances:
  rounding: {kind: abs, value: 1e-9, unit: metres, source: measured}
properties:
  - id: P-SUM
    attacks: [sum, symmetric]
    property: props.sums:adds_up
    tolerance: rounding
    mutants: [props.sums:off_by_one]
"""


def problems(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    """Line and message of every problem of a contract file."""
    path = tmp_path / "sum.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        load_contract(path)
    return [(problem.line, f"{problem.key}: {problem.message}") for problem in refused.value.problems]


def test_a_good_contract_loads(tmp_path: Path) -> None:
    """The text that every other test here breaks is in order."""
    (tmp_path / "sum.yaml").write_text(GOOD, encoding="utf-8")
    loaded = load_contract(tmp_path / "sum.yaml").contract
    assert loaded.claims == {"sum", "symmetric"}
    assert loaded.tolerances["rounding"].value == 1e-9


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (", unit: metres", "", 12, "tolerances.rounding.unit: this required key is missing"),
        (", source: measured", "", 12, "tolerances.rounding.source: this required key is missing"),
        ("kind: abs", "kind: about", 12, "should be 'abs', 'rel', 'ulp', 'nat' or 'pp', found \"about\""),
        ("kind: abs", "kind: pp", 12, "a tolerance of kind `pp` has unit %"),
        ("unit: metres", "unit: nat", 12, "'nat' belongs to kind `nat`"),
        ("value: 1e-9", "value: -1.0", 12, "greater than or equal to 0"),
        ("value: 1e-9", "value: .nan", 12, "is not a finite number"),
        ("value: 1e-9", 'value: "1e-9"', 12, "should be a valid number"),
        ("props.sums:adds_up", "we checked that sums are right", 16, "import path such as `package.module:function`"),
        ("props.sums:adds_up", "pytest tests/test_sums.py", 16, "not prose"),
        ("props.sums:adds_up", "props.sums", 16, "not prose"),
        ("props.sums:adds_up", '"props.sums:adds_up\\n"', 16, "not prose"),
        ("[props.sums:off_by_one]", "[adds one too many]", 18, "properties[0].mutants[0]: expected an import path"),
        ("[props.sums:off_by_one]", "[]", 18, "a property that was never seen to fail proves nothing"),
        ("[props.sums:off_by_one]", "[a:b, a:b]", 18, "properties[0].mutants[1]: a:b is listed twice"),
        ("    mutants: [props.sums:off_by_one]\n", "", 14, "mutants: this required key is missing"),
        ("attacks: [sum, symmetric]", "attacks: [sum]", 10, "invariants.symmetric: no property attacks it"),
        ("attacks: [sum, symmetric]", "attacks: [sum, symetric]", 15, "no equation or invariant is called `symetric`"),
        ("    tolerance: rounding\n", "", 12, "tolerances.rounding: no property uses it"),
        ("tolerance: rounding", "tolerance: rouding", 17, "no tolerance is called `rouding`"),
        (", codomain: the reals", "", 8, "equations.sum.codomain: this required key is missing"),
        ("domain: a and b real", 'domain: " "', 8, "equations.sum.domain"),
        ("  - paper: Peano 1889", "  - {paper: Peano 1889, standard: ISO 80000}", 5, "exactly one of `paper`"),
        ("  - paper: Peano 1889", "  []", 4, "sources: expected at least one"),
        ("[refute.stats]", "[refute.stats, refute.stats]", 6, "refute.stats is listed twice"),
        ("[refute.stats]", "[]", 6, "modules: expected at least one"),
        ("  symmetric: The", "  sum: The", 10, "is also an equation"),
        ("title: Sums", "title: Sums\ntitel: x", 4, "unknown key `titel`; did you mean `title`?"),
        ("version: 1\n", "version: 1\nversion: 2\n", 3, "duplicate key `version`, first on line 2"),
        ("title: Sums", "title: &a Sums", 3, "anchors (`&a`) are not allowed"),
        ("title: Sums", "title: [", 5, "is not YAML"),
        ("contract: C-SUM", "contract: sums", 1, "contract"),
    ],
)  # fmt: skip
def test_a_fault_has_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    """One fault in a good file is reported where it was made."""
    assert GOOD.count(old) == 1
    found = problems(tmp_path, GOOD.replace(old, new))
    assert [where for where, text in found if message in text] == [line], found


def test_ids_are_unique_in_a_file_and_across_files(tmp_path: Path) -> None:
    """Two properties, or two contracts, that claim one id are told apart by file and line."""
    twice = GOOD + GOOD[GOOD.index("  - id: P-SUM") :]
    assert (19, "properties[1].id: duplicate id P-SUM") in problems(tmp_path, twice)
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
    found = duplicate_ids([load_contract(tmp_path / name) for name in ("one.yaml", "two.yaml")])
    assert [(Path(problem.file).name, problem.line) for problem in found] == [("two.yaml", 1), ("two.yaml", 14)]
    assert f"duplicate id C-SUM, already used at {tmp_path / 'one.yaml'}:1" in found[0].message
