"""The protocols written down twice agree: the same tokens, and the same ends of answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from refute.engines.humaneval.audit.problem_file import read_tasks
from refute.engines.humaneval.audit.protocol import STOPS, Questioner
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import assemble
from refute.engines.humaneval.problems.prompts import PROTOCOLS, build_prompt, carried_text, find_stop, protocol_of
from refute.errors import MissingInputsError

TEXTS = (
    "\n    return n\n\n\ndef other():\n    pass\n",
    "\n    return n\n```\nIt works.",
    "\n    a = (\n1,\n)\n# a comment\n    return a\nprint(a)",
    "\n    x = '''\n  ```\n'''",
    "    return 1   ```",
    "\n    return n",
    "",
)


@pytest.mark.parametrize("protocol", ["chat_primed", "completion"])
@pytest.mark.parametrize("kind", ["tokenizer", "breaking_tokenizer"])
def test_prompts_are_the_same_token_by_token(
    protocol: str,
    kind: str,
    request: pytest.FixtureRequest,
    problems: list[Problem],
    problem_file: Path,
    tmp_path: Path,
) -> None:
    """For tokenizers that merge a line break with what follows it, and with what stands before it."""
    tokenizer: PreTrainedTokenizerFast = request.getfixturevalue(kind)
    tokenizer.save_pretrained(tmp_path / "model")
    rules = PROTOCOLS["chat_primed" if protocol == "chat_primed" else "completion"]
    questioner, tasks = Questioner(tmp_path / "model", protocol), read_tasks(problem_file)
    for problem in problems:
        prompt = build_prompt(problem, tokenizer, rules)
        assert (
            questioner.ids(tasks[problem.task_id]) == tokenizer(prompt, add_special_tokens=not rules.chat)["input_ids"]
        )
        assert questioner.carried(tasks[problem.task_id]) == carried_text(prompt)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("protocol", ["chat_primed", "completion"])
def test_answers_end_where_they_end(
    protocol: str, text: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """By both, the leftmost match of a stop."""
    tokenizer.save_pretrained(tmp_path)
    rules = PROTOCOLS["chat_primed" if protocol == "chat_primed" else "completion"]
    assert Questioner(tmp_path, protocol).end(text) == find_stop(text, rules)
    assert STOPS[protocol] == rules.stops


def test_a_system_prompt_is_a_turn_of_both(
    tokenizer: PreTrainedTokenizerFast, problems: list[Problem], problem_file: Path, tmp_path: Path
) -> None:
    """Token by token, before the user's."""
    tokenizer.save_pretrained(tmp_path)
    rules = protocol_of("chat_primed", "You write Python.")
    prompt = build_prompt(problems[0], tokenizer, rules)
    assert prompt.startswith("<|turn|>system\nYou write Python.<|end|>")
    task = read_tasks(problem_file)[problems[0].task_id]
    asked = Questioner(tmp_path, "chat_primed", "You write Python.").ids(task)
    assert asked == tokenizer(prompt, add_special_tokens=False)["input_ids"]


def test_programs_are_put_together_alike(problems: list[Problem], problem_file: Path) -> None:
    """Head, completion, newline; and a reference solution is a completion of the head."""
    tasks = read_tasks(problem_file, limit=2)
    assert list(tasks) == [problem.task_id for problem in problems[:2]]
    for problem in problems[:2]:
        assert tasks[problem.task_id].program("\n    pass") == assemble(problem, "\n    pass")
        assert tasks[problem.task_id].program(tasks[problem.task_id].solution).startswith(problem.prompt)


@pytest.mark.parametrize("left", ["tokenizer.json", "tokenizer_config.json", "template"])
def test_what_a_folder_lacks_is_named(left: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A prompt that cannot be rebuilt is no prompt."""
    tokenizer.save_pretrained(tmp_path)
    if left == "template":
        (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
        settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("chat_template", None)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    else:
        (tmp_path / left).unlink()
    with pytest.raises(MissingInputsError, match=left):
        Questioner(tmp_path, "chat_primed")
