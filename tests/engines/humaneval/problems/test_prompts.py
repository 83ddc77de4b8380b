"""Prompts, stop rules and program assembly, without any model."""

from __future__ import annotations

import copy

import pytest
from transformers import PreTrainedTokenizerFast

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import assemble
from refute.engines.humaneval.problems.prompts import (
    PROTOCOLS,
    ProtocolName,
    build_prompt,
    carried_text,
    find_stop,
    protocol_of,
    template_sha256,
    truncate,
)
from refute.errors import UsageError

CHAT = PROTOCOLS["chat_primed"]
BARE = PROTOCOLS["completion"]


def test_chat_prompt_opens_the_assistants_turn_with_the_functions_head(
    problems: list[Problem], tokenizer: PreTrainedTokenizerFast
) -> None:
    """A primed chat prompt shows the head to the user's turn and ends inside the assistant's open fence."""
    prompt = build_prompt(problems[0], tokenizer, CHAT)
    head = problems[0].prompt.rstrip()
    user, assistant = prompt.split("<|turn|>assistant\n")
    assert user.startswith("<|turn|>user\n")
    assert f"```python\n{head}\n```<|end|>" in user
    assert assistant == f"```python\n{head}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "leaves the text out"),
        ("{{ raise_exception('no system role') }}", "no system role"),
    ],
)
def test_a_template_without_a_system_turn_is_no_silent_loss(
    template: str, message: str, problems: list[Problem], tokenizer: PreTrainedTokenizerFast
) -> None:
    """A score under a system prompt that no model was shown would be a score under another protocol."""
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    with pytest.raises(UsageError, match=message):
        build_prompt(problems[0], other, protocol_of("chat_primed", "You write Python."))


@pytest.mark.parametrize(("name", "text"), [("completion", "You write Python."), ("chat_primed", " \n")])
def test_a_system_prompt_needs_a_place_and_words(name: ProtocolName, text: str) -> None:
    """A bare prompt has no turns."""
    with pytest.raises(UsageError, match="system prompt"):
        protocol_of(name, text)


def test_bare_prompt_is_the_head_without_trailing_white_space(
    problems: list[Problem], tokenizer: PreTrainedTokenizerFast
) -> None:
    """The completion protocol adds nothing and leaves no newline that would break the first indentation."""
    assert problems[0].prompt.endswith('"""\n')
    assert build_prompt(problems[0], tokenizer, BARE) == problems[0].prompt.rstrip()


def test_prompt_ends_where_a_token_ends_when_a_body_follows(
    problems: list[Problem], breaking_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A tokenizer that merges a line break with what precedes it is given the break with the prompt."""
    prompt = build_prompt(problems[0], breaking_tokenizer, BARE)
    assert prompt == problems[0].prompt.rstrip() + "\n"
    ids = breaking_tokenizer(prompt)["input_ids"]
    assert breaking_tokenizer(f"{prompt}    return n")["input_ids"][: len(ids)] == ids


def test_a_newline_put_into_the_prompt_is_carried_into_the_answer() -> None:
    """What the prompt took from the answer is given back, so the program is the same for every tokenizer."""
    assert carried_text("def f():\n") == "\n"
    assert carried_text("def f():") == ""


def test_chat_protocol_refuses_a_tokenizer_without_template(
    problems: list[Problem], bare_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A missing chat template is an error and never a silent fall back to the bare prompt."""
    with pytest.raises(UsageError, match="needs a chat template"):
        build_prompt(problems[0], bare_tokenizer, CHAT)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\n    return 1\n```\nDone.", "\n    return 1"),
        ("\n    return 1\n    ```", "\n    return 1"),
        ("\n    return 1```", "\n    return 1"),
        ("\n    return 1\n\n\ndef g():\n    pass", "\n    return 1\n\n"),
        ("\n    return 1\nprint(f(1))", "\n    return 1"),
        ("\n    return 1\n@cache", "\n    return 1"),
        ("\nreturn 1", ""),
    ],
)
def test_an_answer_ends_at_its_leftmost_stop(text: str, kept: str) -> None:
    """A fence or a new statement in column 0 ends the body, and neither is part of it."""
    assert truncate(text, CHAT) == kept


@pytest.mark.parametrize(
    "text",
    [
        "\n    x = [\n        1,\n]\n    return x",
        "\n    x = 1\n# a remark\n    return x",
        "\n    return f(\n        1\n)",
        "\n\n\n    return 1\n\n",
        " return 1",
    ],
)
def test_an_honest_body_is_not_cut(text: str) -> None:
    """Comments and closing brackets in column 0, blank lines and a one-line body do not end an answer."""
    assert find_stop(text, CHAT) is None
    assert truncate(text, CHAT) == text


def test_only_the_chat_protocol_stops_at_an_indented_fence() -> None:
    """Without a chat there is no fence to close, so back quotes inside a body are the model's own."""
    assert find_stop("\n    ```", BARE) is None
    assert find_stop("\n```", BARE) == 0


def test_program_keeps_the_prompts_imports_and_joins_at_the_head(problems: list[Problem]) -> None:
    """The program is the right-stripped prompt with the completion directly behind it."""
    program = assemble(problems[2], "\n    return math.floor(n + 1.5)")
    assert program.startswith("import math\n")
    namespace: dict[str, object] = {}
    exec(compile(program, "program", "exec"), namespace)  # noqa: S102  # a program made right here
    assert '"""\n    return' in program


def test_digest_changes_with_the_protocol_and_with_the_template(
    tokenizer: PreTrainedTokenizerFast, bare_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Two digests are equal only if prompts are built in the same way."""
    other = bare_tokenizer
    other.chat_template = tokenizer.chat_template
    assert template_sha256(other, CHAT) == template_sha256(tokenizer, CHAT)
    other.chat_template = "{{ messages[0]['content'] }}"
    assert template_sha256(other, CHAT) != template_sha256(tokenizer, CHAT)
    assert template_sha256(other, BARE) == template_sha256(tokenizer, BARE)
    assert template_sha256(tokenizer, BARE) != template_sha256(tokenizer, CHAT)
