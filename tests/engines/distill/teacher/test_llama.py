"""The llama.cpp teacher without llama.cpp: what is missing has a name. benchmarks/providers.py runs the real one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refute.engines.distill.teacher.llama import open_llama_teacher
from refute.errors import MissingDependencyError
from refute.spec.release import GgufModel, Source


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for llama.cpp and lacks it is told what to install, before the file is read."""
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    model = GgufModel(format="gguf", source=Source(path="x.gguf", sha256="0" * 64), runtime="llama.cpp")
    with pytest.raises(MissingDependencyError) as caught:
        open_llama_teacher(model, tmp_path / "x.gguf", context=8, threads=1, device="cpu")
    assert caught.value.hint == "pip install 'refute[llama]'"
