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


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (EVALPLUS | {"task_id": "Mbpp/2"}, r"p\.json:1: EvalPlus's MBPP\+"),
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
