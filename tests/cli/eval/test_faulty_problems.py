"""A fault of the test is the problem's, not the model's: named, without a verdict, and never a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from json_lines import read_rows, write_rows

if TYPE_CHECKING:
    from tests.conftest import Cli

CASES = Path(__file__).parents[2] / "assets" / "eval_cases"
TIER = ("--minimum-isolation", "rlimits")
HEAD = 'def f(n):\n    """Return n."""\n'
BODY = "    return n\n"
CALLED = "    assert candidate(3) == 3\n"
# How tests fail by themselves, each with a word of the reason.
FAULTS = {
    "missing package": ("def check(candidate):\n    import numpy\n" + CALLED, BODY, "No module named 'numpy'"),
    "missing package at the top": ("import numpy\ndef check(candidate):\n" + CALLED, BODY, "No module named"),
    "missing package after a call": (f"def check(candidate):\n{CALLED}    import numpy\n", BODY, "No module named"),
    "typo": ("def check(candidate):\n    assert maht\n" + CALLED, BODY, "'maht' is not defined"),
    "missing file": ('open("cases.json")\ndef check(candidate):\n' + CALLED, BODY, "No such file"),
    "failing assert": ("assert 1 == 2\ndef check(candidate):\n" + CALLED, BODY, "assert 1 == 2"),
    "memory": ("def check(candidate):\n    bytearray(1 << 42)\n" + CALLED, BODY, "MemoryError"),
    "arguments": ("def check(candidate, more):\n" + CALLED, BODY, "missing 1 required positional argument"),
    "exit": ("def check(candidate):\n    raise SystemExit\n" + CALLED, BODY, "without a verdict"),
    "wrong expectation": ("def check(candidate):\n    assert candidate(3) == 4\n", BODY, "fails the problem's test"),
    "endless": (
        "def check(candidate):\n    assert next(candidate(1)) == 1\n",
        "    import itertools\n    return itertools.count(n)\n",
        "an iterator of more than",
    ),
    "object": ("def check(candidate):\n    assert candidate(1)\n", "    return object()\n", "type object"),
    "in place": (
        "def check(candidate):\n    x = []\n    found = candidate(x)\n    assert x == [1] and not found\n",
        "    n.append(1)\n",
        "assert x",
    ),
    "no solution": ("def check(candidate):\n" + CALLED, "", "no canonical solution"),
}


def problem(task: str, test: str, solution: str, head: str = HEAD) -> dict[str, str]:
    """A row of a problem file."""
    return {"task_id": task, "prompt": head, "entry_point": "f", "canonical_solution": solution, "test": test}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_import_inside_check", "test_reads_file", "test_typo_name"])
def test_a_test_that_fails_by_itself_gives_no_verdict(cli: Cli, tmp_path: Path, name: str) -> None:
    """Exit 1 and the task's name; the two sound problems are scored, and no row says that the answer failed."""
    samples, out = CASES / "problems" / f"{name}.canon", tmp_path / "r.jsonl"
    ended = cli("eval", "score", samples, "--problems", samples.with_suffix(".jsonl"), "--out", out, *TIER)
    assert ended.returncode == 1, ended.stderr
    assert "not scored: Toy/0: the problem is at fault" in ended.stdout
    assert [(row["task_id"], row["passed"]) for row in read_rows(out)] == [("Toy/1", True), ("Toy/2", True)]


@pytest.mark.slow
def test_every_kind_of_fault_is_named(cli: Cli, tmp_path: Path) -> None:
    """Whatever the answer is, one that does not even load among them: no verdict; the sound problem keeps its own."""
    problems, samples, out = tmp_path / "p.jsonl", tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    own = "class Odd(Exception):\n    pass\n\n\n" + HEAD
    raises = "def check(candidate):\n    try:\n        assert not candidate(1)\n    except Odd:\n        pass\n"
    sound = problem("sound", raises, "    raise Odd(n)\n", own)
    write_rows(problems, [sound, *(problem(name, test, body) for name, (test, body, _) in FAULTS.items())])
    answers = ["    raise Odd(n)\n", "    return n\n", "    return n +\n", "    raise ValueError\n"]
    write_rows(
        samples,
        [{"task_id": task, "completion": text} for task in ("sound", *FAULTS) for text in answers],
    )
    ended = cli("eval", "score", samples, "--problems", problems, "--out", out, *TIER, "--json")
    figures = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert {name: reason in figures["faulty_problems"].get(name, "") for name, (*_, reason) in FAULTS.items()} == (
        dict.fromkeys(FAULTS, True)
    ), figures["faulty_problems"]
    assert [(row["task_id"], row["passed"]) for row in read_rows(out)] == [
        ("sound", True), ("sound", False), ("sound", False), ("sound", False)
    ]  # fmt: skip
    assert len(figures["errors"]) == len(FAULTS) * len(answers)


@pytest.mark.slow
def test_without_one_sound_problem_there_is_no_number(cli: Cli, tmp_path: Path) -> None:
    """As for who scores HumanEval+ without numpy: neither 0 % nor a decision about a bar."""
    problems, samples, out = tmp_path / "p.jsonl", tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    test, body, reason = FAULTS["missing package at the top"]
    write_rows(problems, [problem(f"t/{number}", test, body) for number in range(4)])
    write_rows(samples, [{"task_id": f"t/{number}", "completion": BODY} for number in range(4)])
    command = ("eval", "score", samples, "--problems", problems, "--out", out, *TIER)
    ended = cli(*command)
    assert (ended.returncode, "none: no sample got a verdict" in ended.stdout) == (1, True)
    assert "0.00 %" not in ended.stdout
    ended = cli(*command[:-3], tmp_path / "b.jsonl", *TIER, "--bar", 30, "--error-rate", 0.4, "--look-every", 1)
    assert (ended.returncode, "4 of 4 problems cannot be scored" in ended.stderr) == (7, True), ended.stderr
    assert reason in " ".join(ended.stderr.split())


def test_no_model_is_asked_about_a_faulty_problem(cli: Cli, tmp_path: Path) -> None:
    """They are named before the first request: at this address nobody would answer one."""
    problems = tmp_path / "p.jsonl"
    test, body, reason = FAULTS["typo"]
    write_rows(problems, [problem("t/0", test, body)])
    server = ("--backend", "openai", "--base-url", "http://127.0.0.1:9/v1")
    command = ("eval", "humaneval", "--model", "m", *server, "--problems", problems, *TIER)
    ended = cli(*command, "--out", tmp_path / "out")
    assert (ended.returncode, reason in " ".join(ended.stderr.split())) == (7, True), ended.stderr


@pytest.mark.slow
def test_files_of_other_benchmarks_are_calibrated_and_scored_by_category(cli: Cli, tmp_path: Path) -> None:
    """MBPP beside EvalPlus: a solution that fails its own assertions is named, and each category has its interval."""
    mbpp = {
        "text": "Double it.",
        "code": "def double(n):\n  return 2 * n",
        "test_list": ["assert double(2) == 4"],
        "test_setup_code": "",
    }
    plus = {
        "task_id": "HumanEval/0",
        "prompt": HEAD,
        "entry_point": "f",
        "canonical_solution": BODY,
        "base_input": [[1]],
        "plus_input": [[2.5]],
        "atol": 0,
        "category": "plain",
    }
    rows = [{**mbpp, "task_id": 1, "category": "easy"}, {**mbpp, "task_id": 2, "test_list": ["assert double(2) == 5"]}]
    problems, samples, out = tmp_path / "p.jsonl", tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    write_rows(problems, [*rows, plus])
    write_rows(
        samples,
        [
            {"task_id": 1, "solution": "def double(n):\n    return n + n\n"},
            {"task_id": "Mbpp/2", "solution": "def double(n):\n    return 5\n"},
            {"task_id": "HumanEval/0", "completion": "    return int(n)\n"},
        ],
    )
    ended = cli("eval", "score", samples, "--problems", problems, "--out", out, "--json", *TIER)
    figures = json.loads(ended.stdout)
    assert ended.returncode == 1, ended.stderr
    assert "the problem is at fault" in figures["faulty_problems"]["MBPP/2"]
    assert figures["problem_file"] == "no published file that is known by its digest"
    found = {name: (each["problems"], each["pass_at_1"]) for name, each in figures["by_category"].items()}
    assert found == {"easy": (1, 1.0), "plain": (1, 0.0)}
    assert figures["by_category"]["plain"]["intervals"][0]["high"] > 0.5


@pytest.mark.slow
def test_iterators_and_exact_numbers_are_compared(cli: Cli, tmp_path: Path) -> None:
    """Right as right and wrong as wrong, as the test itself compares them."""
    solutions = {
        "generator": ("list(candidate(1)) == [1]", "    yield n\n", "    yield n + 1\n"),
        "decimal": (
            "str(candidate(1)) == '0.10'",
            "    import decimal\n    return decimal.Decimal('0.10')\n",
            "    return 0.1\n",
        ),
        "fraction": (
            "candidate(2) * 2 == 1",
            "    from fractions import Fraction\n    return Fraction(1, n)\n",
            "    from fractions import Fraction\n    return Fraction(1, 3)\n",
        ),
        "range": ("list(candidate(2)) == [0, 1]", "    return range(n)\n", "    return range(n + 1)\n"),
    }
    problems, samples, out = tmp_path / "p.jsonl", tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    write_rows(
        problems,
        [
            problem(name, f"def check(candidate):\n    assert {claim}\n", right)
            for name, (claim, right, _) in solutions.items()
        ],
    )
    answers = [{"task_id": name, "completion": each} for name, (_, *both) in solutions.items() for each in both]
    write_rows(samples, answers)
    ended = cli("eval", "score", samples, "--problems", problems, "--out", out, *TIER)
    assert ended.returncode == 0, ended.stderr
    assert [row["passed"] for row in read_rows(out)] == [True, False] * len(solutions)


def test_changes_in_place_are_compared(cli: Cli, tmp_path: Path) -> None:
    """Where the test throws the answer away, and so calls for them; deep within an argument, too."""
    told = "    a = []\n    x = {'a': (a, {1})}\n    candidate(x)\n    assert a == [1] and 'b' in x\n"
    head, right = HEAD, "    n['a'][0].append(1)\n    n['b'] = 0\n"
    emptied = "def check(candidate):\n    x = [2, 1]\n    assert candidate(x) == sorted(x)\n"
    problems, samples, out = tmp_path / "p.jsonl", tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    changing = problem("t/0", f"def check(candidate):\n{told}", right, head)
    write_rows(problems, [changing, problem("t/1", emptied, "    return sorted(n)\n", head)])
    answers = {
        "t/0": [right, "    n['b'] = 0\n", "    return {'a': ([1], {1}), 'b': 0}\n", "    n['a'] = object()\n"],
        "t/1": ["    return sorted(n)\n", "    n.clear()\n    return []\n"],
    }
    write_rows(samples, [{"task_id": task, "completion": each} for task in answers for each in answers[task]])
    ended = cli("eval", "score", samples, "--problems", problems, "--out", out, *TIER, "--partial")
    assert ended.returncode == 0, ended.stderr
    passed = {(row["task_id"], row["sample"]) for row in read_rows(out) if row["passed"]}
    assert passed == {("t/0", 0), ("t/1", 0)}


def test_a_match_of_re_counts_as_found(cli: Cli, tmp_path: Path) -> None:
    """MBPP+ asks in three tasks whether something was found: an answer that is no plain data was, and none was not."""
    row = {
        "task_id": "Mbpp/794",
        "prompt": '"""\nWhether an a is followed by a b.\n"""\n',
        "entry_point": "text_starta_endb",
        "canonical_solution": "\nimport re\ndef text_starta_endb(t):\n    return re.search('a.*b', t)\n",
        "base_input": [["ab"], ["ba"]],
        "plus_input": [],
        "atol": 0,
    }
    problems, samples, out = tmp_path / "p.jsonl", tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    write_rows(problems, [row])
    answers = ["import re\n    return re.search('a.*b', t)", "return 'a' < t", "return object()", "raise TypeError"]
    write_rows(samples, [{"task_id": "Mbpp/794", "completion": f"    {each}\n"} for each in answers])
    ended = cli("eval", "score", samples, "--problems", problems, "--out", out, *TIER)
    assert ended.returncode == 0, ended.stderr
    assert [row["passed"] for row in sorted(read_rows(out), key=lambda row: row["sample"])] == [
        True,
        False,
        False,
        False,
    ]
