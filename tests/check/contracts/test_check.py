"""`refute check` on contracts: references, mutants and runs of a user's own repository."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.check.contracts.check import check_contracts
from refute.check.contracts.coverage_table import BEGIN, END, coverage_table, with_coverage
from refute.cli.commands.init import scaffold
from refute.errors import SpecError, UsageError

ENGINE = """\
def add(a, b):
    return a + b
"""
PROPERTIES = """\
from hypothesis import given, strategies as st
from refute.check.contracts.rewrite import Rewrite

@given(a=st.integers(), b=st.integers())
def adds_up(a, b, within):
    import sums_engine
    assert within.admits(sums_engine.add(a, b) - a, b)

off_by_one = Rewrite("sums_engine:add", {"a + b": "a + b + 1"})
"""
CONTRACT = """\
contract: C-SUM
version: 1
title: Sums
sources: [{paper: Peano 1889}]
modules: [sums_engine]
equations:
  sum: {formula: s = a + b, domain: integers, codomain: integers}
tolerances:
  exact: {kind: abs, value: 0, unit: metres, source: integers do not round}
properties:
  - id: P-SUM
    attacks: [sum]
    property: sums_properties:adds_up
    tolerance: exact
    mutants: [sums_properties:off_by_one]
"""
REFERENCES = {13, 15}


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    """A folder with a contract, its engine and its properties."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    for name, text in (("sums_engine.py", ENGINE), ("sums_properties.py", PROPERTIES), ("sum.yaml", CONTRACT)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def found(folder: Path, *, run: bool = False) -> list[tuple[int, str]]:
    """Line and message of every problem."""
    count, problems = check_contracts([folder], run=run)
    assert count == 1
    return [(problem.line, problem.message) for problem in problems]


def codes(folder: Path) -> list[tuple[int, str]]:
    """Line and code of every problem of a run."""
    return [(line, text.partition("]")[0]) for line, text in found(folder, run=True)]


def edit(path: Path, old: str, new: str) -> None:
    """Replace a part of a file that is there once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_contract_in_order_has_no_problems(contracts: Path) -> None:
    """Neither as it is read nor as it is run; what lay in the folder cannot be imported afterwards."""
    path = list(sys.path)
    assert found(contracts) == found(contracts, run=True) == []
    assert sys.path == path
    assert not {"sums_engine", "sums_properties"} & set(sys.modules)


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "message"),
    [
        ("sum.yaml", "s:adds_up", "s:add_up", 13, "has no `add_up`; did you mean `adds_up`?"),
        ("sum.yaml", "sums_properties:adds_up", "sum_properties:adds_up", 13, "No module named 'sum_properties'"),
        ("sum.yaml", "s:adds_up", "s:off_by_one", 13, "is no Hypothesis property"),
        ("sum.yaml", "sums_properties:adds_up", "sums_engine:add", 13, "is no Hypothesis property"),
        ("sum.yaml", "s:off_by_one", "s:of_by_one", 15, "has no `of_by_one`; did you mean `off_by_one`?"),
        ("sum.yaml", "s:off_by_one", "s:adds_up", 15, "is no mutant: expected a callable without arguments"),
        ("sum.yaml", "modules: [sums_engine]", "modules: [sum_engine]", 5, "there is no module sum_engine"),
        ("sum.yaml", "modules: [sums_engine]", "modules: [refute.stats]", 15, "sums_engine, which this contract does"),
        ("sums_properties.py", ", within):", "):", 13, "takes no argument `within`"),
        ("sums_properties.py", ", within):", ", within, tmp):", 13, "wants arguments that nobody gives: tmp"),
        ("sums_properties.py", '"a + b":', '"a +  b":', 15, "'a +  b' occurs 0 times, expected once"),
        ("sums_engine.py", "return a + b", "return b + a", 15, "the engine has changed"),
    ],
)
def test_what_is_named_must_be_there(contracts: Path, file: str, old: str, new: str, line: int, message: str) -> None:
    """Each fault is found without running anything, at the line of the reference."""
    edit(contracts / file, old, new)
    (problem,) = [each for each in found(contracts) if each[0] == line]
    assert message in problem[1]


@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit(0)",
        "import pytest; pytest.skip('not today', allow_module_level=True)",
        "def adds_up(:",
        "from sums_circle import adds_up",
    ],
)
def test_a_module_that_cannot_be_imported_is_a_problem(contracts: Path, text: str) -> None:
    """An exit, a skip, a syntax error and modules that import each other are reported for both references."""
    (contracts / "sums_properties.py").write_text(text, encoding="utf-8")
    (contracts / "sums_circle.py").write_text("from sums_properties import adds_up\n", encoding="utf-8")
    problems = found(contracts)
    assert {line for line, _ in problems} == REFERENCES
    assert all("sums_properties cannot be imported: " in message for _, message in problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "line", "code", "message"),
    [
        ("assert within.admits", "within.admits", 15, "survivor", "passes on sums_properties:off_by_one"),
        ("- a, b)", "- a, b + 1)", 13, "falsified", "sums_properties:adds_up: AssertionError"),
        ("    import sums_engine", "    import sum_engine as sums_engine", 13, "does-not-run", "No module named"),
        ("    import sums_engine", "    assume(False); import sums_engine", 13, "does-not-run", "FailedHealthCheck"),
        ("    import sums_engine", "    pytest.skip('no'); import sums_engine", 13, "does-not-run", "Skipped: no"),
        ('Rewrite("sums_engine:add", {"a + b": "a + b + 1"})', "broken", 15, "mutant", "and undone: OSError: no"),
        ('Rewrite("sums_engine:add", {"a + b": "a + b + 1"})', "int", 15, "mutant", "and undone: TypeError"),
        ('Rewrite("sums_engine:add", {"a + b": "a + b + 1"})', "wild", 15, "mutant", "and undone: AttributeError"),
        ('"a + b + 1"', '"a + c"', 15, "crash", "ends in NameError: name 'c' is not defined, expected a failed"),
        ('"a + b + 1"', '"0 + a + b"', 15, "survivor", "it cannot fail where it must"),
    ],
)  # fmt: skip
def test_a_property_must_fail_where_it_must_and_hold_where_it_must(
    contracts: Path, old: str, new: str, line: int, code: str, message: str
) -> None:
    """What only a run can show is a problem of `--contracts`, and of nothing that is merely read."""
    path = contracts / "sums_properties.py"
    edit(path, old, new)
    extra = "import contextlib, sys\nimport pytest\nfrom hypothesis import assume\n"
    extra += "wild = lambda: contextlib.closing(sys)\ndef broken():\n    raise OSError('no')\n"
    path.write_text(extra + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert found(contracts) == []
    problems = found(contracts, run=True)
    assert [where for where, text in problems if f"[contract/{code}]" in text and message in text] == [line], problems


@pytest.mark.slow
def test_a_mutation_that_is_left_behind_is_seen(contracts: Path) -> None:
    """A mutant that does not undo itself makes the property fail on the engine, whose turn comes last."""
    edit(
        contracts / "sums_properties.py",
        'off_by_one = Rewrite("sums_engine:add", {"a + b": "a + b + 1"})',
        "import contextlib\ndef off_by_one():\n    import sums_engine\n"
        "    sums_engine.add = lambda a, b: a + b + 1\n    return contextlib.nullcontext()",
    )
    assert [(line, text.partition("]")[0]) for line, text in found(contracts, run=True)] == [
        (13, "[contract/falsified")
    ]


def test_a_tolerance_that_is_too_wide_lets_a_mutant_live(contracts: Path) -> None:
    """The figure in the YAML is the one that decides: a bar that nothing can miss is an error."""
    edit(contracts / "sum.yaml", "value: 0,", "value: 1,")
    assert codes(contracts) == [(15, "[contract/survivor")]


@pytest.mark.slow
def test_a_failure_can_be_repeated_from_what_is_printed(contracts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed blob, put above the property, fails again on the very example."""
    path = contracts / "sums_properties.py"
    edit(path, "- a, b)", "- a, min(b, 30))")
    (failed,) = [text for _, text in found(contracts, run=True) if "falsified" in text]
    blob = failed[failed.index("@reproduce_failure(") :].split(" as a decorator")[0]
    edit(path, "@given", f"from hypothesis import reproduce_failure\n{blob}\n@given")
    (again,) = [text for _, text in found(contracts, run=True) if "falsified" in text]
    assert again.splitlines()[0] == failed.splitlines()[0]
    assert "b=31" in failed
    assert "b=31" in capsys.readouterr().out  # Hypothesis prints an example that it was asked for


def test_one_id_in_two_files_and_folders_that_are_not_there(contracts: Path) -> None:
    """The second file to use an id is at fault; a folder without contracts has none, one that is absent is refused."""
    (contracts / "total.yaml").write_text(CONTRACT, encoding="utf-8")
    count, problems = check_contracts([contracts])
    assert count == 2
    assert [Path(each.file).name for each in problems if "[contract/duplicate-id]" in each.message] == [
        "total.yaml"
    ] * 2
    (contracts / "schema").mkdir()
    assert check_contracts([contracts / "schema"]) == (0, [])
    with pytest.raises(UsageError, match="is not a folder of contracts"):
        check_contracts([contracts / "absent"])


@pytest.mark.slow
def test_check_reads_contracts_and_runs_them_on_demand(
    cli: Callable[..., subprocess.CompletedProcess[str]], contracts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a user's repository: status, summary, JSON, and a line a property; an unknown profile is a usage error."""
    scaffold(contracts.parent)
    monkeypatch.chdir(contracts.parent)
    read = cli("check")
    assert (read.returncode, read.stdout.endswith(" falsifiers, 1 contracts\n")) == (0, True)
    ran = cli("check", "--contracts", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["contracts"]) == (0, 1)
    assert "P-SUM: holds, 1 of 1 mutants killed" in ran.stderr
    edit(contracts / "sums_engine.py", "return a + b", "return a + b if b < 30 else 0")
    assert cli("check").returncode == 0
    failed = cli("check", "--contracts")
    assert (failed.returncode, "P-SUM: FAILED" in failed.stderr) == (1, True)
    (contracts / "sum.yaml").write_text("contract: [", encoding="utf-8")
    assert "contracts/sum.yaml:2: is not YAML" in cli("check", "--contract-folder", "contracts").stdout
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "depp")
    unknown = cli("check", "--contracts")
    assert (unknown.returncode, "did you mean `deep`?" in unknown.stderr) == (2, True)


@pytest.mark.slow
def test_checking_this_repository_loads_no_torch() -> None:
    """Properties import their engines when they run, so that reading eleven contracts stays fast."""
    folder = Path(__file__).parents[3] / "contracts"
    code = (
        "import sys\nfrom pathlib import Path\nfrom refute.check.contracts.check import check_contracts\n"
        f"assert check_contracts([Path({str(folder)!r})])[1] == []\n"
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_page_shows_the_coverage_as_it_is() -> None:
    """A change of contracts or of modules must be followed by a change of the page."""
    root = Path(__file__).parents[3]
    page = (root / "docs" / "contracts.md").read_text(encoding="utf-8")
    table = coverage_table(root / "contracts")
    message = "regenerate it: python -m refute.check.contracts.coverage_table contracts docs/contracts.md"
    assert with_coverage(page, table) == page, message


def test_coverage_tells_shown_from_named(contracts: Path) -> None:
    """A module that a mutant changes is shown; one that is only listed is named; faults are not passed over."""
    edit(contracts / "sum.yaml", "[sums_engine]", "[sums_engine, refute.attest.dsse]")
    rows = coverage_table(contracts).splitlines()
    assert "| `sums_engine` | ● C-SUM | 1 |" in rows
    assert "| `refute.attest.dsse` | ○ C-SUM |  |" in rows
    assert "`refute.attest.keys`" in rows[-1]
    assert with_coverage(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb"
    with pytest.raises(UsageError, match="lacks its marks"):
        with_coverage("a page", "new")
    edit(contracts / "sum.yaml", "s:adds_up", "s:add_up")
    with pytest.raises(SpecError, match="has no `add_up`"):
        coverage_table(contracts)
