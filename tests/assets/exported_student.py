"""A student that chats, what it came from and what it is exported from, as evidence that proofs of exports read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from model_workshop import Workshop
from refute.engines.export.experiments.exports import export
from refute.job import Inputs, Job
from refute.spec.experiments.evidence_files import CORPUS, EXPORTED, INIT, STUDENT

_TEMPLATE = (
    "{% for m in messages %}{{ '<|turn|>' + m.role + '\n' + m.content + '<|over|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}"
)


class Desk:
    """A student's evidence, and jobs on it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, function: Callable[[Job], None], evidence: str, **config: object) -> Path:
        """What `function` writes as `evidence`."""
        job = Job(
            name=evidence,
            config=json.dumps(config),
            inputs={each.name: Inputs(each.name, each) for each in self.root.iterdir()},
            out=self.root / evidence,
            scratch=self.root.parent / "scratch",
            report=lambda *_: None,
        )
        job.out.mkdir()
        job.scratch.mkdir(exist_ok=True)
        function(job)
        return job.out


@pytest.fixture
def bare(workshop: Workshop) -> Desk:
    """A student of a random llama3 that chats, an init with its tokenizer, and held-out text."""
    folder = workshop.folder(workshop.model("llama3"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    _speak(folder, tokenizer)
    root = workshop.root / "evidence"
    (root / STUDENT).mkdir(parents=True)
    folder.rename(root / STUDENT / "model")
    shutil.copytree(root / STUDENT, root / INIT)
    (root / CORPUS).mkdir()
    tokens = np.random.default_rng(17).integers(3, 290, (2, 40)).astype(np.int32)
    save_file({"tokens": tokens}, root / CORPUS / "heldout.safetensors")
    return Desk(root)


@pytest.fixture
def desk(bare: Desk) -> Desk:
    """The same, and its exports."""
    bare.run(export, EXPORTED, name="tiny", labels=["Q8_0", "Q4_0"])
    return bare


def _speak(folder: Path, tokenizer: Tokenizer) -> None:
    """Give the model turns, ends, a template in both places, and numbers of four digits, in place of its last tokens.

    Such numbers are what llama.cpp splits otherwise where a file does not say how.
    """
    stated = json.loads(tokenizer.to_str())
    vocabulary, special = stated["model"]["vocab"], ("<|turn|>", "<|over|>")
    last = sorted(vocabulary, key=vocabulary.get)[-5:]
    stated["model"]["merges"] = [rule for rule in stated["model"]["merges"] if "".join(rule) not in last]
    stated["model"]["merges"] += [["1", "2"], ["3", "4"], ["12", "34"]]
    for token, new in zip(last, ("12", "34", "1234", *special), strict=True):
        vocabulary[new] = vocabulary.pop(token)
        own = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        if new in special:
            stated["added_tokens"].append({"id": vocabulary[new], "content": new, "special": True, **own})
    (folder / "tokenizer.json").write_text(json.dumps(stated), encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config |= {"chat_template": _TEMPLATE, "eos_token": "<|over|>", "bos_token": "<|turn|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    ends = {"eos_token_id": [vocabulary["<|over|>"], 0]}
    (folder / "generation_config.json").write_text(json.dumps(ends), encoding="utf-8")
    model = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(model | ends), encoding="utf-8")
