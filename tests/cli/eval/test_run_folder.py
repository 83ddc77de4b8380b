"""The folder of a run holds what `refute eval humaneval` wrote, or is somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.cli.eval.run_folder import claim
from refute.errors import UnreadableInputError


@pytest.mark.parametrize("content", ["mine, and nobody else's\n", "[]", "\udcff"])
def test_a_folder_with_a_run_that_nobody_can_read_is_left_alone(tmp_path: Path, content: str) -> None:
    """It is no run of another identity, and no accident either."""
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    (tmp_path / "samples.jsonl").write_text("{}\n", encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(UnreadableInputError, match="expected a JSON object"):
        claim(tmp_path, {"model": "a" * 64})
    assert path.read_bytes() == before
