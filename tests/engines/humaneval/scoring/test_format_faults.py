"""A zero says why: answers that did not compile are counted by what they look like."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from json_lines import write_rows
from refute.engines.humaneval.problems.problems import load_problems
from refute.engines.humaneval.scoring.format_faults import Answer, ending, endings, format_faults

if TYPE_CHECKING:
    from tests.conftest import Cli

CASES = Path(__file__).parents[3] / "assets" / "eval_cases"
TOY = load_problems(CASES / "toy_problems.jsonl")
TIER = ("--problems", CASES / "toy_problems.jsonl", "--minimum-isolation", "rlimits")
BODY = TOY[0].canonical_solution
NOT_COMPILED = ("SyntaxError", "IndentationError")


# An answer, what is said of it, and what its program raises.
SYMPTOMS = [
    (f"```python\n{BODY}```", "begin with a code fence", "SyntaxError"),
    (f"Sure!\n```python\n{BODY}```", "hold a code fence", "SyntaxError"),
    (BODY.strip(), "begin without the body's indentation: was the text stripped?", "IndentationError"),
    (f"    x = [\n{TOY[0].prompt}{BODY}", "repeat the prompt", "SyntaxError"),
    (f"{BODY}<|im_end|>", "hold a special token", "SyntaxError"),
    (f"<think>\nhm\n</think>\n{BODY}", "hold a draft in reasoning tags", "SyntaxError"),
    ("  \n", "are empty", "AssertionError"),
    ("    return (1\n", "are no Python", "SyntaxError"),
    ("    I cannot help with that.\n", "are prose without a sign of code: a refusal?", "SyntaxError"),
    (
        BODY.replace(" ", "\u0120"),
        "hold pieces of a tokenizer: they were not decoded",
        "SyntaxError",
    ),
    ("    return 1 &lt; 2\n  x", "hold signs as HTML writes them", "IndentationError"),
    (
        "    return \u201c1\u201d\n",
        "hold typographic quotes, full-width signs or spaces that Python does not know",
        "SyntaxError",
    ),
    (
        "class S:\n    def add_all(self, n):\n        pass\n",
        "define the function as a method of a class",
        "AssertionError",
    ),
    ("def sums(n):\n    return sum(n)\n", "define something else than the function", "AssertionError"),
]


@pytest.mark.parametrize(("completion", "symptom", "raised"), SYMPTOMS)
def test_every_symptom_is_named(completion: str, symptom: str, raised: str) -> None:
    """Of a program that is known to have ended so."""
    assert format_faults([Answer(TOY[0], completion, raised)]) == {symptom: 1}


@pytest.mark.slow
def test_programs_end_so_and_the_figures_say_it(cli: Cli, tmp_path: Path) -> None:
    """In the figures and beside the number; a program that fails by itself has no symptom."""
    samples, found = tmp_path / "s.jsonl", {symptom: 1 for _, symptom, _ in SYMPTOMS}
    answers = [*(completion for completion, _, _ in SYMPTOMS), "    return None\n"]
    write_rows(samples, [{"task_id": "Toy/0", "completion": text} for text in answers])
    command = ("eval", "score", samples, "--out", tmp_path / "r.jsonl", *TIER, "--partial")
    figures = json.loads(cli(*command, "--json").stdout)["format"]
    assert (figures["faults"], figures["answers"], figures["symptoms"]) == (len(SYMPTOMS), len(answers), found)
    raised = [kind for _, _, kind in SYMPTOMS]
    assert [figures["endings"][kind] for kind in NOT_COMPILED] == [raised.count(kind) for kind in NOT_COMPILED]
    shown = cli(*command).stdout
    assert (
        f"format    {len(SYMPTOMS)} of {len(answers)} did not compile, are empty or define something else: 1 " in shown
    )
    assert all(f"1 {symptom}" in shown for symptom in found)
    assert "why zero" in shown


@pytest.mark.slow
def test_a_file_of_fences_is_no_silent_zero(cli: Cli, tmp_path: Path) -> None:
    """Three of three answers are a SyntaxError, and one line says so."""
    ended = cli("eval", "score", CASES / "score" / "19_fenced.jsonl", "--out", tmp_path / "r.jsonl", *TIER)
    assert (
        "format    3 of 3 did not compile, are empty or define something else: 3 begin with a code fence"
        in ended.stdout
    )
    assert "why zero  3 SyntaxError; the first, Toy/0: failed: SyntaxError: " in ended.stdout


def test_a_pass_has_no_fault() -> None:
    """Whatever it looks like; and an ending is a word, also where a program writes the detail."""
    assert format_faults([Answer(TOY[0], "", "passed"), Answer(TOY[0], "    '```'", "AssertionError")]) == {}
    for text in (f"\n{BODY}", f"# Why\n{BODY}", "def add_all(n):\n    pass", "add_all = len", "    pass\n)"):
        assert format_faults([Answer(TOY[0], text, "AssertionError")]) == {}, text
    indented = replace(TOY[0], prompt=f"{TOY[0].prompt}    ")
    assert format_faults([Answer(indented, "return 0", "AssertionError")]) == {}


@pytest.mark.parametrize(
    ("outcome", "detail", "completion", "words"),
    [
        ("failed", "KeyError: 'a' at: assert candidate(1)", BODY, "KeyError"),
        ("failed", "AssertionError at: assert candidate(1)", BODY, "AssertionError"),
        ("failed", "AssertionError at: assert candidate(1)", "    print(3)\n", "AssertionError, nothing is returned"),
        ("failed", "AssertionError at: x", "    return\n", "AssertionError, nothing is returned"),
        ("failed", "AssertionError", BODY, "AssertionError while the program loads"),
        ("failed", "EOFError: EOF when reading a line", BODY, "EOFError while the program loads"),
        ("failed", "ModuleNotFoundError: No module named 'x'", BODY, "ModuleNotFoundError while the program loads"),
        ("failed", "SyntaxError: invalid syntax (<solution>, line 9)", BODY, "SyntaxError"),
        ("failed", "the program gave no answer", BODY, "failed"),
        ("timeout", "", BODY, "timeout"),
    ],
)
def test_an_ending_says_what_failed_and_when(outcome: str, detail: str, completion: str, words: str) -> None:
    """In a call of the test, before any, or by giving no value back."""
    assert endings([Answer(TOY[0], completion, ending(outcome, detail))]) == {words: 1}
