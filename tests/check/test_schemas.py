"""JSON Schemas: the files in contracts/ are what the code says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from refute.check.schemas import _main, schemas, write_schemas
from refute.errors import UsageError

STORED = Path(__file__).parents[2] / "contracts" / "schema"


@pytest.mark.parametrize("name", sorted(schemas()))
def test_stored_schema_equals_the_code(name: str) -> None:
    """A change of the models must be followed by a change of the published schema."""
    stored = (STORED / name).read_text(encoding="utf-8")
    assert stored == schemas()[name], "regenerate it: python -m refute.check.schemas contracts/schema"


def test_schema_shows_keys_as_files_have_them() -> None:
    """Aliases, closedness, bars and descriptions reach the editor."""
    schema = json.loads(schemas()["spec.schema.json"])
    use = schema["$defs"]["FalsifierUse"]
    assert (schema["$schema"].rpartition("/")[2], schema["title"]) == ("schema", "refute spec")
    assert "with" in use["properties"]
    assert "parameters" not in use["properties"]
    assert use["additionalProperties"] is False
    assert schema["$defs"]["ThresholdText"]["properties"]["holds_if"]["pattern"].startswith("^(<=")
    assert schema["description"]
    assert use["properties"]["uses"]["description"]


@pytest.mark.slow
def test_command_writes_every_schema_and_nothing_else(tmp_path: Path) -> None:
    """The documented command makes the folder, writes the same bytes and is silent."""
    folder = tmp_path / "new" / "schema"
    command = [sys.executable, "-m", "refute.check.schemas", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert written == schemas()


def test_writing_replaces_an_older_schema(tmp_path: Path) -> None:
    """An outdated file is replaced whole."""
    (tmp_path / "spec.schema.json").write_text("old" * 100_000, encoding="utf-8")
    write_schemas(tmp_path)
    assert json.loads((tmp_path / "spec.schema.json").read_text(encoding="utf-8"))["title"] == "refute spec"


def test_wrong_arguments_are_refused() -> None:
    """The command says what it expects."""
    with pytest.raises(UsageError, match="expected one argument"):
        _main([])
