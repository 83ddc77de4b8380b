"""Answers in wrappings beside Markdown's fences: what was put around the code is taken off, and the code stays."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from textwrap import dedent, indent

import pytest

from refute.engines.humaneval.problems.chat_answer import read_answer
from refute.engines.humaneval.problems.problems import Problem
from toy_answers import BARE, CODE, ECHO, FENCED, OTHER, TOY, WRONG, solves

BODY = TOY.canonical_solution
AT_THE_MARGIN = "".join(line[4:] for line in BODY.splitlines(keepends=True))
SIGNS = "def add_all(numbers):\n    return sum(n for n in numbers if n <= 0 or n & ~0 > -1)"
ESCAPED = html.escape(SIGNS, quote=False)
ONE = "def one(n):\n    return sum(n)"
INDEXED = "def add_all(n):\n    return operator.index(sum(n))"
METHOD = "class Solution:\n    def add_all(self, numbers):\n        return sum(numbers)"


def python(code: str) -> str:
    """A block of it."""
    return f"```python\n{code}\n```"


def cells(*sources: object) -> str:
    """A notebook."""
    return json.dumps({"cells": [{"cell_type": "code", "source": each} for each in sources], "nbformat": 4})


# By the judgement of a reader, before anything was run: the answer solves the problem.
RIGHT = {
    "HTML": f'<p>Here:</p>\n<pre><code class="language-python">{ESCAPED}\n</code></pre>\n<p>Done.</p>',
    "HTML in a fence": f"```html\n<pre><code>{ESCAPED}</code></pre>\n```",
    "HTML with colours": "<pre><span>def</span> add_all(numbers):<br>&nbsp;&nbsp;<b>return</b> sum(numbers)</pre>",
    "HTML in a line": "<code>def add_all(numbers): return sum(numbers)</code>",
    "signs escaped": python(ESCAPED),
    "quotes escaped": python(html.escape('def add_all(numbers):\n    """Sum."""\n    return sum(numbers) * (1 < 2)')),
    "arrow escaped": python("def add_all(numbers: list) -&gt; int:\n    return sum(numbers)"),
    "escaped, and Python all the same": python("def add_all(numbers):\n    return sum(numbers) * (1 &lt; 2)"),
    "an entity that is meant": python("def add_all(numbers):\n    return sum(numbers) if len('&lt;') == 4 else 0"),
    "class and function": python(f"{METHOD}\n\ndef add_all(numbers):\n    return Solution().add_all(numbers)"),
    "body at the margin": f"The body:\n\n{python(AT_THE_MARGIN)}\nThat is all.",
    "body, stripped": BODY.strip(),
    "body, stripped, in two parts": "for n in numbers:\n        del n\n\n    return sum(numbers)",
    "body below a heading": f"Solution\n\n{BODY}",
    "body, stripped, then prose": f"{BODY.strip()}\n\nThis adds them.",
    "body in a line": "return sum(numbers)",
    "body without a fence": AT_THE_MARGIN,
    "body as an indented block": f"The body:\n\n{BODY}\nHope it helps.",
    "body, then prose": f"{BODY}\nThis returns the sum of all numbers.",
    "body, then a fence is closed": f"{BODY}```\n\nThis sums them.",
    "body, deeper": indent(BODY, "  "),
    "body with its docstring": '    """Sum\n    of it.\n    """\n    return sum(numbers)\n',
    "body within JSON": json.dumps({"completion": "return sum(numbers)"}),
    "tool call": f"<tool_call>\n{json.dumps({'name': 'write', 'arguments': {'content': BARE}})}\n</tool_call>",
    "tool call with JSON in JSON": json.dumps([{"function": {"arguments": json.dumps({"code": BARE})}}]),
    "tool call in brackets": f"[TOOL_CALLS]{json.dumps([{'name': 'w', 'arguments': {'code': BARE}}])}",
    "tool call in tags": f"<function=write>\n<parameter=content>\n{BARE}\n</parameter>\n</function>",
    "tool call in tight tags": f'<invoke name="edit">\n<parameter name="code">{BARE}</parameter>\n</invoke>',
    "tool call by a token": f"<|python_tag|>{BARE}<|eom_id|>",
    "tight tags": f"<solution>{BARE}</solution>",
    "CDATA": f"<solution><![CDATA[\n{CODE}\n]]></solution>",
    "JSON in prose": f"Here it is:\n{json.dumps({'code': BARE}, indent=2)}\nBye",
    "JSON with a list of lines": json.dumps({"code": BARE.split("\n")}),
    "JSON text": json.dumps(BARE),
    "JSON with line ends in its text": f'Here:\n{{"code": "{BARE}"}}',
    "quotation without a fence": indent(BARE, "> "),
    "quotation of a quotation": indent(BARE, ">> "),
    "quotation in prose": f"As you asked:\n\n{indent(BARE, '> ')}\n",
    "label": f"Answer: {BARE}",
    "label in bold": f"**Solution:** {BARE}\n\nDone.",
    "colours of a terminal": "\x1b[32m```python\n\x1b[1mdef\x1b[0m add_all(n):\n    return sum(n)\n```\x1b[0m",
    "dictionary of Python": str({"code": BARE}),
    "notebook": cells(["def add_all(numbers):\n", "    return sum(numbers)\n"]),
    "notebook of two cells": cells("import operator", ["def add_all(n):\n", "    return operator.index(sum(n))"]),
    "YAML": "code: |\n  def add_all(numbers):\n      return sum(numbers)\nnotes: none\n",
    "reStructuredText": f".. code-block:: python\n\n{indent(CODE, '   ')}\n\nDone.",
    "LaTeX": f"\\begin{{minted}}{{python}}\n{CODE}\n\\end{{minted}}",
    "AsciiDoc": f"[source,python]\n----\n{CODE}\n----",
    "a text of Python": f"solution = \'\'\'\n{BARE}\n\'\'\'",
    "line ends escaped": BARE.replace("\n", "\\n"),
    "line ends escaped, with a fence": json.dumps(FENCED)[1:-1],
    "diff": "```diff\n@@ -1,2 +1,2 @@\n def add_all(numbers):\n-    return 0\n+    return sum(numbers)\n```",
    "diff without hunks": "```diff\n def add_all(numbers):\n-    return 0\n+    return sum(numbers)\n```",
    "diff without a fence": "--- a/s.py\n+++ b/s.py\n@@ -1 +1,2 @@\n+def add_all(numbers):\n+    return sum(numbers)\n",
    "patch": "*** Begin Patch\n*** Add File: s.py\n+def add_all(n):\n+    return sum(n)\n*** End Patch",
    "search and replace": f"<<<<<<< SEARCH\ndef add_all(n):\n    pass\n=======\n{BARE}\n>>>>>>> REPLACE",
    "numbers": "```\n1 def add_all(numbers):\n2     total = sum(numbers)\n3     return total\n```",
    "numbers, further off": "```\n  1  def add_all(numbers):\n  2  \n  3      return sum(numbers)\n```",
    "numbers and bars": "```\n 9 | def add_all(numbers):\n10 |     return sum(numbers)\n```",
    "numbers of a list": "1. def add_all(numbers):\n2.     return sum(numbers)\n",
    "console": "```pycon\n>>> def add_all(numbers):\n...     return sum(numbers)\n...\n>>> add_all([1, 2])\n3\n```",
    "console without a fence": ">>> def add_all(numbers):\n...     return sum(numbers)\n... \n>>> add_all([])\n0",
    "IPython": "```\nIn [1]: def add_all(n):\n   ...:     return sum(n)\n\nIn [2]: add_all([1])\nOut[2]: 1\n```",
    "shell": f"```bash\ncat > s.py << 'EOF'\n{CODE}\nEOF\npython s.py\n```",
    "span": "`def add_all(numbers): return sum(numbers)`",
    "span in prose": "You can use `add_all = lambda numbers: sum(numbers)` here.",
    "fence in a line": "```python def add_all(numbers): return sum(numbers)```",
    "fence beside the code": f"```{BARE}```",
    "fence and language beside the code": f"```python {BARE}\n```",
    "fence closed behind code, before words": f"```python\n{BARE}```Done.",
    "all two to the right": indent(BARE, "  "),
    "marks of sections": f"[PYTHON]\n{BARE}\n[/PYTHON]\n[TESTS]\nassert add_all([1]) == 2\n[/TESTS]",
    "console that is left": ">>> add_all = sum\n>>> def add_all(n):\n...     return sum(n)\n...\n>>> exit()",
    "fence of two ticks": f"``python\n{CODE}\n``",
    "constant before, without a fence": "MOD = 10**9\ndef add_all(numbers):\n    return sum(numbers) % MOD",
    "corrected, without a fence": f"{WRONG}\n\nThat is wrong. Corrected:\n\n{BARE}\n",
    "corrected": f"{OTHER}\n\nWait. Here is the corrected version:\n\n{FENCED}",
    "the same again, cut": f"{FENCED}\nOnce more:\n```python\n{CODE[: CODE.index('return')].rstrip()}\n",
    "the same again, cut, without a fence": f"{CODE}\n\nOnce more:\n\n{CODE[: CODE.index('return')].rstrip()}",
    "the core again": f"{FENCED}\nThe loop is the core:\n```python\nfor number in numbers:\n    total += number\n```",
    "typed lambda": python("from typing import Callable\nadd_all: Callable = lambda numbers: sum(numbers)"),
    "a user's turn behind": f"{FENCED}\n\nHuman: Now subtract them.\n\nAssistant:\n{OTHER}",
    "an instruction behind": f"{FENCED}\n\n### Instruction:\nReturn 0.\n\n### Response:\n{OTHER}",
    "a user in prose": f"User: a class that holds names.\n{FENCED}",
    "full-width prose": f"解答如下\uff08使用循环\uff09\uff1a{FENCED}\n该函数返回总和。",
    "spaces that do not break around": f"\u00a0```python\u00a0\n{CODE}\n\u00a0```\n",
    "a mark of direction": f"\u200f{FENCED}",
    "docstring with a fence": python('def add_all(n):\n    """\n```python\nadd_all([1])\n```\n"""\n    return sum(n)'),
    "other language last, unclosed": f"{FENCED}\n```js\nfunction add_all(n) {{ return 0 }}",
    "words that are Python by accident": f"# Solution\n{BARE}\n\n# Explanation\n\nText",
    "a word behind": f"{BARE}\nDone",
    "a word between": "import operator\nSolution\ndef add_all(n):\n    return operator.index(sum(n))\nSTOP",
    "marks of a tracker": f"{{code:python}}\n{BARE}\n{{code}}",
    "tight marks of a tracker": f"{{noformat}}{BARE}{{noformat}}",
    "tight marks of a forum": f"[code=python]{BARE}[/code]",
    "CDATA, tight": f"<response><code><![CDATA[{BARE}]]></code></response>",
    "a closing tag alone": f"{BARE}</tool_call>",
    "two closing tags alone": f"{BARE}\n</code></answer>\n",
    "byte order mark in the block": python(f"\ufeff{CODE}"),
    "a file's name in the block": f"```\nsrc/solution.py\n{CODE}\n```",
    "a file's name below the language": python(f"solution.py:\n{CODE}"),
    "the question, then the body": f"```python\n{TOY.prompt.rstrip()}\n```\n\n{BODY}",
    "the body below a label": "Answer:\n    return sum(numbers)",
    "the body below its helper's block": f"{python(ONE)}\n{python('    return one(numbers)')}",
    "a language before the code": f"python {BARE}",
    "a language below an empty line": f"```\n\npython\n{CODE}\n```",
    "imports that are said to be text": f"```text\nimport operator\n```\n{python(INDEXED)}",
    "a remark that is Python by accident": f"{BARE}\n\nComplexity: linear",
    "the head, then the body": f"{python(TOY.prompt)}\nThe body is\n{python(BODY)}",
    "imports, then the body": python("from functools import reduce\n\n    return reduce(int.__add__, numbers, 0)"),
    "body, then its helper": "    return helper(numbers)\n\n\ndef helper(n):\n    return sum(n)\n",
    "body, then prose and its helper": "    return one(numbers)\n\nWith\n\ndef one(n):\n    return sum(n)\n\nDone.",
    "draft never closed, then an answer": f"<thinking>\nhm {OTHER}\n<answer>\n{FENCED}\n</answer>",
    "draft that names the answer's tag": f"<think>\n<answer>\n{WRONG}\n</answer>\n</think>\n<answer>{BARE}</answer>",
    "channel of thoughts": f"<|channel>thought\n{OTHER}\n<channel|>{FENCED}<turn|>",
    "turns of a pipe each": f"<|turn>user\n{ECHO}<turn|>\n<|turn>model\n{FENCED}<turn|>",
    "call in a channel": (
        f"<|channel|>analysis<|message|>hm {OTHER}<|end|><|start|>assistant<|channel|>commentary to=functions.python "
        f"<|constrain|>json<|message|>{json.dumps({'code': BARE})}<|call|>"
    ),
    "DeepSeek's call": (
        "I write it.<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function"
        f"<\uff5ctool\u2581sep\uff5c>write\n```json\n{json.dumps({'code': BARE})}\n```"
        "<\uff5ctool\u2581call\u2581end\uff5c>"
    ),
    "Kimi's call": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.write:0<|tool_call_argument_begin|>"
        f"{json.dumps({'code': BARE})}<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "a tool's token behind words": f"Let me.<|python_tag|>{BARE}<|eom_id|>",
    "a token's name in a comment": python("def add_all(n):\n    # up to <eos>\n    return sum(n)"),
    "token of StarCoder": f"{BARE}<file_sep>",
    "tokens for nothing": f"{BARE}<unk><pad><pad>",
    "a token's name in prose": f"It reads to the <eos>\n{FENCED}",
    "a question behind": f"{BARE}\n\nQ: Now subtract.\nA: {WRONG}",
    "an instruction behind, without a colon": f"{FENCED}\n### Instruction\nAgain.\n### Response\n{OTHER}",
    "other language last": f"{FENCED}\nIn JS:\n```js\nfunction add_all(n) {{ return 0 }}\n```",
}  # fmt: skip

# The code itself is at fault, whatever stands around it.
NOT_RIGHT = {
    "half escaped": python("def add_all(numbers):\n    return sum(n for n in numbers if n &lt; 0 or n >= 0)"),
    "escaped and wrong": python("def add_all(numbers):\n    return 0 if 1 &lt; 2 else 5"),
    "method of a class": python(METHOD),
    "function in a function": python("def outer():\n    def add_all(n):\n        return sum(n)\n    return add_all"),
    "another name": python("def sum_all(numbers):\n    return sum(numbers)"),
    "first line's indentation lost in a fence": python(BODY.strip()),
    "all indentation lost": python("total = 0\nfor n in numbers:\ntotal += n\nreturn total"),
    "stripped, and unsure": "total = 0\n  for n in numbers:\n        total += n\n    return total",
    "stripped, and wrong": "total = 0\n    for n in numbers:\n        total -= n\n    return total",
    "diff that breaks it": "```diff\n def add_all(numbers):\n-    return sum(numbers)\n+    return 0\n```",
    "console that is wrong": "```pycon\n>>> def add_all(numbers):\n...     return 0\n```",
    "numbers that skip": "```\n1 def add_all(numbers):\n3     return sum(numbers)\n```",
    "spaces that do not break": python(BARE.replace("    ", "\u00a0" * 4)),
    "full-width code": python("def add_all\uff08numbers\uff09\uff1a\n    return sum(numbers)"),
    "typographic quotes": python("def add_all(numbers):\n    \u201cSum.\u201d\n    return sum(numbers)"),
    "underscores escaped": python(BARE.replace("_", "\\_")),
    "an annotation that names nothing": python("def add_all(numbers: Numbers):\n    return sum(numbers)"),
    "a word of its own in the block": python(f"{CODE}\nDone"),
    "tests of its own that fail": python(f"{CODE}\nassert add_all([1]) == 2"),
    "pieces of a tokenizer": BARE.replace(" ", "\u0120").replace("\n", "\u010a"),
    "raises while it loads": python(f"{CODE}\nn = unknown"),
    "a text that would be moved": python('x = """a\nb"""\nreturn sum(numbers) if len(x) == 3 else 0'),
}


@pytest.mark.parametrize("shape", RIGHT)
def test_the_wrapping_is_taken_off(shape: str) -> None:
    """With either end of lines."""
    assert solves(TOY, RIGHT[shape])
    assert solves(TOY, RIGHT[shape].replace("\n", "\r\n"))


@pytest.mark.parametrize("shape", NOT_RIGHT)
def test_the_code_is_not_mended(shape: str) -> None:
    """What a reader would not let pass does not pass, or is no Python."""
    try:
        passed = solves(TOY, NOT_RIGHT[shape])
    except (SyntaxError, NameError, AssertionError):
        passed = False
    assert (passed, bool(read_answer(TOY, NOT_RIGHT[shape])[0].strip())) == (False, True)


@pytest.mark.parametrize(
    ("shape", "place"),
    [
        ("YAML", "lines without a fence, in an indented block"),
        ("body, stripped", "the first lines, as a body"),
        ("tool call", "lines without a fence, within JSON"),
        ("signs escaped", "the last Python block that defines the function, with its signs escaped for HTML"),
    ],
)
def test_the_evidence_says_what_was_taken_off(shape: str, place: str) -> None:
    """In the words that `samples.jsonl` has under `extraction`."""
    assert read_answer(TOY, RIGHT[shape])[1].place == place


MARKS = [
    "[" * 900,
    "<a>" * 9_000,
    "```\n" + "<<a\n" * 3_000,
    "x = 1\n" * 900,
    "`" * 9_000,
    "[a]" * 9_000,
    "{code}" * 5_000,
    "</a>" * 9_000,
    "\n" * 20_000 + "</a>",
    "<|channel|>" * 2_000,
    "<think>" * 5_000,
    "Q: x\n" * 900,
]


@pytest.mark.parametrize("text", MARKS)
def test_an_answer_of_marks_alone_is_read_all_the_same(text: str) -> None:
    """Nothing is found in it, and no time lost that grows with its square."""
    assert read_answer(TOY, text)[1].kind == "text"


def whole(problem: Problem) -> str:
    """The program that solves it."""
    return f"{problem.prompt}{problem.canonical_solution}".strip("\n")


def every_line(code: str, mark: Callable[[int, str], str]) -> str:
    """Each line behind what `mark` says of its number and text."""
    return "\n".join(f"{mark(number, line)}{line}" for number, line in enumerate(code.split("\n"), start=1))


WRAPPINGS: dict[str, Callable[[Problem], str]] = {
    "fence": lambda problem: python(whole(problem)),
    "lines": whole,
    "escaped": lambda problem: python(html.escape(whole(problem))),
    "stripped body": lambda problem: problem.canonical_solution.strip(),
    "body at the margin": lambda problem: python(dedent(problem.canonical_solution)),
    "body, then prose": lambda problem: f"{problem.canonical_solution}\nThis does it.",
    "numbers": lambda problem: every_line(whole(problem), lambda number, _: f"{number:3d}  "),
    "notebook": lambda problem: cells([f"{line}\n" for line in whole(problem).split("\n")]),
    "JSON": lambda problem: json.dumps({"code": whole(problem)}),
    "diff": lambda problem: f"--- /dev/null\n+++ b/s.py\n{every_line(whole(problem), lambda *_: '+')}",
    "console": lambda problem: every_line(
        whole(problem), lambda _, line: "... " if line[:1].isspace() or not line else ">>> "
    ),
    "one line": lambda problem: json.dumps(whole(problem))[1:-1],
    "tags": lambda problem: f"<solution>{whole(problem)}</solution>",
    "quotation": lambda problem: every_line(whole(problem), lambda *_: "> "),
    "YAML": lambda problem: f"code: |\n{indent(whole(problem), '  ')}\nend: 1\n",
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_every_solution_comes_out_of_every_wrapping(name: str, all_problems: tuple[Problem, ...]) -> None:
    """Of a whole problem file: that of REFUTE_TEST_PROBLEMS, or our own six."""
    assert [each.task_id for each in all_problems if not solves(each, WRAPPINGS[name](each))] == []
