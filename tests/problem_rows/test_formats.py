"""Problem files of EvalPlus and MBPP become HumanEval's problems, and what they do not say is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refute.engines.humaneval.problems.known_files import KNOWN_FILES, known_file
from refute.engines.humaneval.problems.problems import load_problems
from refute.errors import MissingInputsError

EVALPLUS: dict[str, Any] = {
    "task_id": "HumanEval/0",
    "prompt": 'def half(n):\n    """Half of n."""\n',
    "entry_point": "half",
    "canonical_solution": "    return n / 2\n",
    "base_input": [[2]],
    "plus_input": [[0.3], [-7]],
    "atol": 0,
    "contract": "",
}
MBPP: dict[str, Any] = {
    "task_id": 2,
    "text": 'Write a function to find the "similar" elements \\n of two lists.',
    "code": "from typing import List\r\ndef similar(a: List[int], b=None):\r\n  return sorted(set(a) & set(b))",
    "test_list": ["assert similar([1, 2], [2]) == [2]", "assert similar([], []) == []"],
    "test_setup_code": "unused = 1",
}


def read(tmp_path: Path, *rows: dict[str, Any]) -> Any:
    """The one problem of a file, which is an array."""
    (tmp_path / "p.json").write_text(json.dumps(rows), encoding="utf-8")
    (problem,) = load_problems(tmp_path / "p.json")
    return problem


def passes(problem: Any, program: str) -> bool:
    """Whether this test's own function passes the problem's test."""
    namespace: dict[str, Any] = {}
    exec(problem.prompt + program, namespace)  # noqa: S102 - written above
    exec(problem.test, namespace)  # noqa: S102 - made of what is written above
    try:
        namespace["check"](namespace[problem.entry_point])
    except AssertionError:
        return False
    return True


def test_evalplus_holds_the_answer_against_the_solution(tmp_path: Path) -> None:
    """On the inputs of both sets; floats are compared with its tolerance."""
    problem = read(tmp_path, EVALPLUS)
    assert passes(problem, EVALPLUS["canonical_solution"])
    assert passes(problem, "    return n * 0.5 + 1e-9\n")
    assert not passes(problem, "    return n * 0.5 + 1e-3\n")
    assert not passes(problem, "    return abs(n) / 2\n")
    assert not passes(problem, "    return 'half'\n")


def test_any_root_of_a_polynomial_is_right(tmp_path: Path) -> None:
    """EvalPlus puts the root into the polynomial: x**2 - 1 has two."""
    row = EVALPLUS | {
        "prompt": 'def find_zero(xs):\n    """A root."""\n',
        "entry_point": "find_zero",
        "canonical_solution": "    return 1.0\n",
        "base_input": [[[-1, 0, 1]]],
        "plus_input": [],
        "atol": 1e-4,
    }
    assert passes(read(tmp_path, row), "    return -1.0\n")
    assert not passes(read(tmp_path, row), "    return 0.5\n")


def test_mbpp_is_put_as_a_function_to_complete(tmp_path: Path) -> None:
    """Name and parameters are those of its solution, whose types the prompt does not know."""
    problem = read(tmp_path, MBPP)
    assert problem.task_id == "MBPP/2"
    assert problem.prompt.startswith("def similar(a, b=None):\n")
    assert "assert similar([1, 2], [2]) == [2]" in problem.prompt
    assert passes(problem, problem.canonical_solution)
    assert passes(problem, "    return [x for x in a if x in b]\n")
    assert not passes(problem, "    return a\n")


def test_the_test_of_mbpp_plus_stands_for_the_assertions(tmp_path: Path) -> None:
    """As Hugging Face's rows have it: a script with inputs and results."""
    script = "inputs = [[[3], [3]]]\nfor given in inputs:\n    assert similar(*given) == [3]\n"
    row = {key: value for key, value in MBPP.items() if key != "text"}
    problem = read(tmp_path, row | {"prompt": "Find them.", "test_imports": ["import math"], "test": script})
    assert passes(problem, "    return [x for x in a if x in b]\n")
    assert not passes(problem, "    return [2]\n")


def plus(number: int, entry: str, arguments: str, body: str, *inputs: list[Any], atol: float = 0) -> dict[str, Any]:
    """A row of EvalPlus's MBPP+ as its file has them."""
    return {
        "task_id": f"Mbpp/{number}",
        "prompt": f'"""\nDo it.\nassert {entry}() == "x"\n"""\n',
        "entry_point": entry,
        "canonical_solution": f"\ndef {entry}({arguments}):\n    return {body}\n",
        "base_input": [*inputs[:1]],
        "plus_input": [*inputs[1:]],
        "contract": "",
        "assertion": "",
        "atol": atol,
    }


@pytest.mark.parametrize(
    ("row", "right", "wrong"),
    [
        (plus(2, "similar_elements", "a, b", "tuple(set(a) & set(b))", [[3, 1], [1, 3]]), "[3, 1, 1]", "[3]"),
        (plus(63, "most", "a", "max(x for x, _ in a)", [[[3, 1], [1, 3]]]), "max(a)[0]", "a[0]"),
        (plus(75, "kept", "a, n", "[t for t in a if t[0] % n == 0]", [[[6, 1], [5, 1]], 3]), "[(6, 1)]", "[[6, 1]]"),
        (plus(106, "joined", "a, b", "b + tuple(a)", [[1], [2]]), "(*b, *a)", "[*b, *a]"),
        (plus(115, "empty", "a", "all(not d for d in a)", [[[1], []]], [[[]]]), "a == [{}]", "a == [set()]"),
        (plus(124, "angle", "a, b", "b.imag + a", ["1", "2j"]), "a + 2.0", "a"),
        (plus(252, "real", "z", "z.real", ["3+4j"]), "3.0", "4.0"),
        (plus(259, "both", "a, b", "a + b", [[[1, 2]], [[3]]]), "((1, 2), (3,))", "[(1, 2), (3,)]"),
        (plus(278, "before", "a", "a.index((5, 6))", [[1, [5, 6]]]), "1", "0"),
        (plus(580, "odd", "a", "(a, )", [[1, [2, [3]]]]), "((1, (2, (3,))),)", "([1, [2, [3]]],)"),
        (plus(722, "tall", "d, h", "{k for k, v in d.items() if v[0] > h}", [{"a": [6, 1]}, 5]), "{'a'}", "set()"),
        (plus(295, "sum_div", "n", "n // 2", [8]), "0", "1"),
        (plus(164, "are_equivalent", "a, b", "a == b", [1, 2]), "'any'", "1 / 0"),
        (plus(558, "digit_distance_nums", "a, b", "5", [123, 256]), "7", "6"),
        (plus(581, "surface_Area", "b, s", "0", [3, 4], atol=1e-4), "35", "33"),
        (plus(794, "text_starta_endb", "t", "__import__('re').search('a.*b', t)", ["ab"]), "[1]", "None"),
        (plus(307, "colon", "t, m, n", "(t[0], n)", [["H", 5], 1, 50]), "('H', 50)", "['H', 50]"),
        (plus(1, "plain", "a", "a", [[1]]), "[1]", "(1,)"),
    ],
)
def test_mbpp_plus_is_read_as_evalplus_reads_it(tmp_path: Path, row: dict[str, Any], right: str, wrong: str) -> None:
    """Tuples, sets and complex numbers by the task's number; several right answers where it takes several."""
    problem = read(tmp_path, row)
    assert (problem.task_id, problem.prompt.startswith(f"def {row['entry_point']}(")) == (row["task_id"], True)
    assert "assert" in problem.prompt
    assert passes(problem, problem.canonical_solution)
    assert passes(problem, f"    return {right}\n")
    try:
        assert not passes(problem, f"    return {wrong}\n")
    except ZeroDivisionError:
        assert row["task_id"] == "Mbpp/164"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            EVALPLUS | {"task_id": "Mbpp/1", "entry_point": "third", "canonical_solution": "x = 1"},
            r"p\.json:1: .* defines no function 'third'",
        ),
        (EVALPLUS | {"task_id": "Mbpp/2", "canonical_solution": "def half(n): pass"}, "of another shape than EvalPlus"),
        (EVALPLUS | {"plus_input": {}}, "are not lists of arguments"),
        (EVALPLUS | {"base_input": [1]}, "are not lists of arguments"),
        (EVALPLUS | {"atol": "tight"}, "atol is 'tight'"),
        (MBPP | {"test_list": []}, "no list of assertions"),
        (MBPP | {"test_list": ["assert other(1)"]}, "calls no function that the code defines"),
        (MBPP | {"code": "def similar(:"}, "the code is not Python"),
        ({key: value for key, value in MBPP.items() if key != "text"}, "field 'prompt' is missing"),
        (MBPP | {"test_setup_code": 3}, "are not text"),
        (MBPP | {"test_imports": [3]}, "are not text"),
        (MBPP | {"test_imports": "import math"}, "are not text"),
        (MBPP | {"task_id": None}, "task_id is None"),
        (EVALPLUS | {"prompt": "def half(n):\n    '\ud800'\n"}, "is not Python"),
        (EVALPLUS | {"category": 3}, "'category' is not text"),
    ],
)
def test_what_a_row_lacks_is_said(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    """Nothing is filled in."""
    with pytest.raises(MissingInputsError, match=message):
        read(tmp_path, row)


def test_a_file_is_known_by_its_content() -> None:
    """And by nothing else; no two entries are one file."""
    assert known_file(b"anything") is None
    assert len({each.sha256 for each in KNOWN_FILES}) == len(KNOWN_FILES) == len({each.name for each in KNOWN_FILES})
