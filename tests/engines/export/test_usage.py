"""A release used by strangers: three engines in processes of their own say the same, and none of them has a network."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from model_workshop import Workshop
from refute.engines.export.gguf.file import export_gguf, read_source
from refute.engines.export.usage.environment import ask_stranger, fresh_python
from refute.engines.export.usage.stranger import reachable
from refute.spec.publication import ExportLabel


def test_a_host_that_answers_is_noticed() -> None:
    """Else a run with a network would pass for one without."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reachable([("127.0.0.1", port)]) == ["127.0.0.1"]
    assert reachable([("127.0.0.1", port)]) == []


def request(engine: str, path: Path) -> dict[str, object]:
    """What a stranger is asked: eight tokens."""
    return {"engine": engine, "path": str(path), "prompt": [5, 17, 250], "tokens": 8, "threads": 1, "hosts": []}


@pytest.mark.slow  # three interpreters that import torch or llama.cpp
def test_three_engines_say_the_same(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refute's own forward, transformers and llama.cpp, greedily, from the released files alone."""
    # As in a process of the gate, where refute is not found by `sys.path`.
    elsewhere = [path for path in sys.path if not (Path(path) / "refute" / "__init__.py").is_file()]
    monkeypatch.setattr(sys, "path", elsewhere)
    folder = workshop.folder(workshop.model("llama"))
    file = tmp_path / "model.F32.gguf"
    export_gguf(read_source(folder), file, ExportLabel.F32, lambda *_: None)
    python = fresh_python(tmp_path / "fresh")
    said = {}
    for engine, path in (("refute", folder), ("transformers", folder), ("llama.cpp", file)):
        said[engine] = ask_stranger(python, request(engine, path), tmp_path / "scratch")
    assert {engine: each["failed"] for engine, each in said.items()} == dict.fromkeys(said)
    assert said["transformers"]["ids"] == said["refute"]["ids"] == said["llama.cpp"]["ids"]
    assert len(said["refute"]["ids"]) == 8
