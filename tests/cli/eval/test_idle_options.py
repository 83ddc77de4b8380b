"""An option from which nothing comes is refused: whoever gives it would believe that it was heeded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cli


@pytest.mark.parametrize(
    ("command", "given", "without"),
    [
        (("eval", "score", "samples.jsonl", "--out", "r.jsonl"), ("--look-every", "8"), "--bar"),
        (("eval", "score", "samples.jsonl", "--out", "r.jsonl"), ("--spending", "pocock"), "--bar"),
        (("eval", "humaneval", "--model", "m", "--out", "out"), ("--error-rate", "0.05"), "--bar"),
        (
            ("eval", "humaneval", "--model", "m", "--out", "out"),
            ("--base-url", "http://localhost/v1"),
            "--backend openai",
        ),
        (("eval", "humaneval", "--model", "m", "--out", "out"), ("--key-variable", "KEY"), "--backend openai"),
        (("distill", "prepare", "run.yaml", "--out", "out"), ("--model", "m"), "--base-url"),
    ],
)
def test_an_option_from_which_nothing_comes_is_refused(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    given: tuple[str, ...],
    without: str,
) -> None:
    """Also where it says what would hold anyway; before anything is read."""
    (tmp_path / "samples.jsonl").write_text('{"task_id": "HumanEval/0", "completion": ""}\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ended = cli(*command, *given)
    assert ended.returncode == 2
    assert f"nothing comes of {given[0]} without {without}" in ended.stderr
