"""A tiny model as it is released: portable, with a card, and nothing wrong with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refute.engines.model.generations.portable import make_portable

CARD = "---\nlicense: apache-2.0\nbase_model: org/teacher\ndatasets: [org/texts]\n---\n# A model\n"
TEMPLATE = "{% for each in messages %}<|{{ each.role }}|>{{ each.content }}<|end|>{% endfor %}"


@pytest.fixture(scope="session")
def sound_model(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path) -> Path:
    """The tiny teacher, released."""
    folder = Path(shutil.copytree(teacher_folder, tmp_path_factory.mktemp("released") / "model"))
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "LICENSE").write_text("Permission is granted.\n", encoding="utf-8")
    (folder / "bom.cdx.json").write_text("{}\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    make_portable(folder)
    return folder


@pytest.fixture
def released(tmp_path: Path, sound_model: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(sound_model, tmp_path / "model"))


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object] | None = None, **values: object) -> None:
    """Change a JSON file: set `values`, None takes a key out, or do as `change` says."""
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    if change is not None:
        change(content)
    content = {key: value for key, value in {**content, **values}.items() if value is not None}
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
