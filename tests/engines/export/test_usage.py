"""A release used by strangers: three engines in processes of their own say the same, and none of them has a network."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from model_workshop import Workshop
from refute.engines.export.experiments.usage import TOKENS, logits_behind
from refute.engines.export.gguf.file import export_gguf, read_source
from refute.engines.export.usage.consumer import Tried, is_beyond_refute
from refute.engines.export.usage.environment import ask_stranger, fresh_python
from refute.engines.export.usage.snippets import try_snippets
from refute.engines.export.usage.stranger import reachable
from refute.engines.model.forward.numpy_forward import Reference, open_weights
from refute.engines.model.forward.weights import check_architecture
from refute.errors import UsageError
from refute.spec.publication import ExportLabel


def test_a_host_that_answers_is_noticed() -> None:
    """Else a run with a network would pass for one without."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reachable([("127.0.0.1", port)]) == ["127.0.0.1"]
    assert reachable([("127.0.0.1", port)]) == []


def request(engine: str, path: Path) -> dict[str, object]:
    """What a stranger is asked: eight tokens."""
    return {
        "engine": engine,
        "path": str(path),
        "prompt": [5, 17, 250],
        "tokens": 8,
        "ends": [],
        "threads": 1,
        "hosts": [],
    }


@pytest.mark.slow  # two interpreters a block
def test_blocks_of_a_card_are_tried_as_they_stand(tmp_path: Path) -> None:
    """By each reader, where the repository's name is a folder; a command must name one of the release's files."""
    release = tmp_path / "release"
    release.mkdir()
    (release / "m.Q8_0.gguf").write_bytes(b"GGUF")
    blocks = {
        "python": ["print(open('ORG/m/m.Q8_0.gguf').read())\n", "raise KeyError('llama')\n"],
        "sh": [f"llama-cli -hf {each}\n" for each in ("ORG/m:Q8_0", "ORG/m:Q4_0", "ORG/n:Q8_0")] + ["ollama run m\n"],
    }
    card = "".join(f"\n```{language}\n{text}```\n" for language, texts in blocks.items() for text in texts)
    (release / "README.md").write_text(f"# m\n{card}", encoding="utf-8")
    readers: dict[str, Path] = dict.fromkeys(("one", "another"), fresh_python(tmp_path / "fresh"))
    found = try_snippets(release, "ORG/m", readers, tmp_path / "scratch")
    assert [(each.reader, each.said.strip(), each.failed) for each in found] == [
        ("one", "GGUF", None),
        ("another", "GGUF", None),
        ("one", "", "KeyError: 'llama'"),
        ("another", "", "KeyError: 'llama'"),
        ("llama.cpp", "m.Q8_0.gguf", None),
        ("llama.cpp", "", "0 files have the label Q4_0"),
        ("llama.cpp", "m.Q8_0.gguf", "ORG/n is another repository than ORG/m"),
        ("llama.cpp", "", "nobody here can run it"),
    ]


@pytest.mark.slow  # an interpreter each
@pytest.mark.parametrize(
    "engines",
    [
        ("refute", "llama.cpp"),
        # It imports torch once more. That both read a folder alike is in tests/engines/model/forward/, too.
        pytest.param(("refute", "transformers"), marks=pytest.mark.exhaustive),
    ],
)
def test_engines_say_the_same(
    engines: tuple[str, ...], workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refute's own forward, transformers and llama.cpp, greedily, from the released files alone."""
    # As in a process of the gate, where refute is not found by `sys.path`.
    elsewhere = [path for path in sys.path if not (Path(path) / "refute" / "__init__.py").is_file()]
    monkeypatch.setattr(sys, "path", elsewhere)
    folder = workshop.folder(workshop.model("llama"))
    file = tmp_path / "model.F32.gguf"
    export_gguf(read_source(folder), file, ExportLabel.F32, lambda *_: None)
    python = fresh_python(tmp_path / "fresh")
    places = {"refute": folder, "transformers": folder, "llama.cpp": file}
    said = [ask_stranger(python, request(engine, places[engine]), tmp_path / "scratch") for engine in engines]
    assert [each["failed"] for each in said] == [None, None]
    assert said[0]["ids"] == said[1]["ids"]
    assert len(said[0]["ids"]) == 8


def test_what_is_said_is_held_against_the_likeliest_token_after_the_same_beginning(workshop: Workshop) -> None:
    """The likeliest are behind by nothing; another one is by as much as its logit says, and so is an end too early."""
    judged, prompt = Reference(open_weights(workshop.folder(workshop.model("llama")))), [5, 17, 250]
    likeliest = list(prompt)
    for _ in range(TOKENS):
        likeliest.append(int(judged.logits(np.array(likeliest))[-1].argmax()))
    said = likeliest[len(prompt) :]
    assert logits_behind(judged, prompt, said, ends=[]) == (0.0,) * TOKENS
    row = judged.logits(np.array(likeliest[:8]))[-1]
    second = int(row.argsort()[-2])
    other = logits_behind(judged, prompt, [*said[:5], second], ends=[second])
    assert list(other) == pytest.approx([0.0] * 5 + [row.max() - row[second]])
    assert logits_behind(judged, prompt, said[:5], ends=[second, int(row.argmin())]) == other
    assert logits_behind(judged, prompt, said[:5], ends=[])[-1] == pytest.approx(np.ptp(row))
    assert len(logits_behind(judged, prompt, [], ends=[second])) == 1


def test_what_refutes_own_forward_does_not_know_speaks_against_no_model() -> None:
    """A consumer's other engines decide; whatever else it raises is a failure, and so is theirs."""
    with pytest.raises(UsageError) as unknown:
        check_architecture(Path("m"), "gpt2")
    said = f"UsageError: {unknown.value}"
    table = {("refute", said): True, ("refute", "KeyError: 'x'"): False, ("transformers", said): False}
    for (engine, failed), beyond in table.items():
        assert is_beyond_refute(Tried(engine, ".", "", 0, {}, (), failed)) is beyond
