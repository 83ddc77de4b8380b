"""What a chat answers becomes a program, in whatever shape chat models and their servers write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refute.engines.humaneval.problems.chat_answer import read_answer
from refute.engines.humaneval.problems.problems import Problem
from toy_answers import BARE, CASES, CODE, ECHO, FENCED, OTHER, TOY, WRONG, solves


def indented(text: str, by: str) -> str:
    """Every line behind `by`."""
    return "\n".join(f"{by}{line}" for line in text.split("\n"))


def fences(*codes: str) -> str:
    """Blocks of Python, each behind a word."""
    return "\n".join(f"Then:\n```python\n{code}\n```" for code in codes)


SHAPES = {
    "plain": FENCED,
    "no info": f"```\n{CODE}\n```",
    "info with a title": f'```py title="solution.py"\n{CODE}\n```',
    "info in capitals": f"```Python3\n{CODE}\n```",
    "info in braces": f"```{{.python .numberLines}}\n{CODE}\n```",
    "info with a file": f"```python:solution.py\n{CODE}\n```",
    "info of another language": f"```text\n{CODE}\n```",
    "tildes": f"~~~python\n{CODE}\n~~~",
    "fence of four within one": f"````markdown\n{FENCED}\n````",
    "unterminated": f"Here:\n\n```python\n{CODE}",
    "closed behind the code": f"```python\n{CODE}```",
    "opened behind a word": f"Answer: {FENCED}",
    "no fence": CODE,
    "no fence, text around": f"Here is the function:\n\n{CODE}\n\nThis returns the sum. I hope it helps!",
    "quoted": indented(FENCED, "> "),
    "list": f"- The function:\n\n{indented(FENCED, '  ')}\n- Done.",
    "list, too deep": f"1. The function:\n{indented(FENCED, '        ')}\n",
    "list, code at the margin": f"1. Here:\n   ```python\n{CODE}\n   ```\n",
    "indented block": f"The function:\n\n{indented(CODE, '    ')}\n\nDone.",
    "tag around": f"<answer>\n{FENCED}\n</answer>",
    "draft": f"<think>\nPerhaps\n```python\n{WRONG}\n```\n</think>\n{FENCED}",
    "draft that the prompt began": f"Perhaps\n```python\n{WRONG}\n```\n</think>\n\n{FENCED}",
    "draft behind": f"{FENCED}\n<think>\n```python\n{WRONG}\n```\n",
    "draft in brackets": f"[THINK]```python\n{WRONG}\n```[/THINK]{FENCED}",
    "channels": (
        f"<|channel|>analysis<|message|>```python\n{WRONG}\n```<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{FENCED}<|return|>"
    ),
    "several attempts": f"First:\n{OTHER}\nBetter:\n{FENCED}\nRun it:\n```python\nprint(add_all([1]))\n```",
    "helper in a block of its own": fences(
        "import operator",
        "START = 0\ndef plus(a, b):\n    return operator.add(a, b)",
        "from functools import reduce\ndef add_all(numbers):\n    return reduce(plus, numbers, START)",
    ),
    "helper, mended later": fences(
        "def first(numbers):\n    return 0",
        "def first(numbers):\n    return sum(numbers)",
        "def add_all(numbers):\n    return first(numbers)",
    ),
    "helper that is tried out": fences(
        "def plus(a, b):\n    return a + b\nprint(plus(1, undefined))",
        "from functools import reduce\ndef add_all(numbers):\n    return reduce(plus, numbers, 0)",
    ),
    "a builtin's name": fences("sum = 3", "def add_all(numbers):\n    return sum(numbers)"),
    "imported by its users": fences("from solution import add_all\nprint(add_all([1]))", BARE),
    "a use of it that binds a name of its own": fences(
        "def add_all(numbers):\n    total = sum(numbers)\n    return total", "total = add_all([1])[0]"
    ),
    "language below the fence": f"```\npython\n{CODE}\n```",
    "tag in a comment": "```python\ndef add_all(numbers):\n    # <think> a sum\n    return sum(numbers)\n```",
    "stub that raises, last": fences(CODE, "def add_all(numbers):\n    raise NotImplementedError"),
    "marks of few-shot prompts": f"[BEGIN]\n{CODE}\n[DONE]",
    "structured output": json.dumps({"explanation": "a sum", "code": BARE}),
    "structured output, deep": json.dumps({"answers": [{"code": BARE}]}),
    "structured output in a fence": f"```json\n{json.dumps({'code': FENCED})}\n```",
    "head alone, last": f"{FENCED}\nYour function was:\n```python\n{TOY.prompt}```",
    "echo before": f"{ECHO}\n{FENCED}",
    "echo behind": f"{FENCED}<|im_end|>\n<|im_start|>user\n{ECHO}<|im_end|>\n<|im_start|>assistant\n{OTHER}",
    "echoed turns": f"<|im_start|>user\n{ECHO}<|im_end|>\n<|im_start|>assistant\n{FENCED}<|im_end|>",
    "Llama's turns": (
        f"<|start_header_id|>user<|end_header_id|>\n\n{ECHO}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{FENCED}<|eot_id|>"
    ),
    "Gemma's turns": f"<start_of_turn>user\n{ECHO}<end_of_turn>\n<start_of_turn>model\n{FENCED}<end_of_turn>",
    "DeepSeek's token": f"{FENCED}<\uff5cend\u2581of\u2581sentence\uff5c>",
    "Llama 2's tokens": f"<s>[INST] {ECHO} [/INST] {FENCED}</s>",
    "token behind a string": f"```python\n{BARE}  # 'x'<|endoftext|>\n```",
    "imports behind": f"{FENCED.replace('total = 0', 'total = math.floor(0)')}\nwith\n```python\nimport math\n```",
    "needless import": f"```python\nimport numpy\n```\n{FENCED}",
    "from the future": f"```python\nfrom __future__ import annotations\n\n{CODE}\n```",
    "future in a block of its own": f"```python\nfrom __future__ import annotations\n```\n{FENCED}",
    "lambda": "```python\nadd_all = lambda numbers: sum(numbers)\n```",
    "quoted tokens": '```python\ndef add_all(n):\n    return sum(n) if "<|im_end|>" + "</think>" else 0\n```',
    "body in a block": f"```python\n{TOY.canonical_solution}```",
    "body alone": TOY.canonical_solution,
    "old line ends": FENCED.replace("\n", "\r"),
    "byte order mark": f"\ufeff{FENCED}",
}


@pytest.mark.parametrize("name", sorted(path.name for path in (CASES / "chat").glob("*.txt")))
def test_recorded_answers_are_read(name: str) -> None:
    """Each is right, and passes."""
    assert solves(TOY, (CASES / "chat" / name).read_bytes().decode("utf-8"))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read(shape: str) -> None:
    """The code that the answer ends in is executed, and not the draft, the echo or the example beside it."""
    assert solves(TOY, SHAPES[shape])
    assert solves(TOY, SHAPES[shape].replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("answer", "place", "cut"),
    [
        (FENCED, "the last Python block that defines the function", ()),
        (SHAPES["draft"], "the last Python block that defines the function", ("reasoning",)),
        (SHAPES["several attempts"], "the last Python block that defines the function", ("text", "other blocks")),
        (SHAPES["Llama 2's tokens"], "the last Python block that defines the function", ("special tokens",)),
        (CODE, "lines without a fence", ()),
        (SHAPES["no fence, text around"], "lines without a fence", ("text",)),
        (SHAPES["body in a block"], "the last Python block that is a body", ()),
        ("```python\n    pass\n```", "the last Python block, as a body", ()),
        ("I cannot do that.", "the whole answer, as a body", ()),
        ("<think>so long that it never ended", "no answer", ("reasoning",)),
        ("", "no answer", ()),
    ],
)
def test_what_was_cut_is_said(answer: str, place: str, cut: tuple[str, ...]) -> None:
    """Where the code stood in the answer, and what else stood there."""
    found = read_answer(TOY, answer)[1]
    assert (found.place, found.cut) == (place, cut)


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{WRONG}\n```",
        f"<think>{FENCED}</think>\nI do not know.",
        f"{FENCED}\n```python\n{WRONG}\n```",
        WRONG,
    ],
)
def test_what_is_wrong_stays_wrong(answer: str) -> None:
    """The last definition counts, and no draft does."""
    try:
        assert not solves(TOY, answer)
    except (SyntaxError, IndentationError):
        assert "do not know" in answer


def test_code_that_breaks_off_is_not_mended() -> None:
    """An answer that was cut in the middle of a line does not compile, in a fence or without one."""
    for answer in (f"```python\n{CODE}[", f"{CODE}["):
        with pytest.raises(SyntaxError):
            solves(TOY, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "```python\ndef f(n):\n    return n\n```",
        "Here:\n\n```\nimport os\ndef f(n):\n    return n\n```\n```python\nprint(f(1))\n```",
        "def f(n):\n    return n",
        "    return n\n",
        "```python\n    return n\n```",
    ],
)
@pytest.mark.parametrize("prompt", ['def f(n):\n  """One space less."""\n', "def f(n):\n"])
def test_a_whole_answer_becomes_a_program(prompt: str, answer: str) -> None:
    """Behind a head with a docstring or without, whose indentation is its own."""
    if answer.startswith(("    return", "```python\n    return")) and '"""' in prompt:
        prompt = prompt.replace("  ", "    ")
    problem = Problem("T/0", prompt, "f", "", "def check(candidate):\n    assert candidate(3) == 3\n")
    assert solves(problem, answer)


def test_the_samples_file_holds_the_whole_answer(tmp_path: Path) -> None:
    """What was cut can be read there, and how; a sample that was not found in an answer has neither key."""
    from refute.engines.humaneval.samples.completion import Completion
    from refute.engines.humaneval.samples.sample_log import SampleLog

    text, found = read_answer(TOY, FENCED)
    chat = Completion("Toy/0", text, 5, "stop", 0, FENCED, found.words)
    with SampleLog(tmp_path / "s.jsonl", "k") as log:
        log.add(chat)
        log.add(Completion("Toy/1", "", 5, "stop"))
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (rows[0]["answer"], rows[0]["extraction"].endswith("left out: nothing")) == (FENCED, True)
    assert not {"answer", "extraction"} & {*rows[1]}
    with SampleLog(tmp_path / "s.jsonl", "k") as log:
        assert log.done["Toy/0", 0] == chat
