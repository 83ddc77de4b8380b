"""Experiment: the held-out files of a corpus tokenised and cut again, and of which file each held-out window is.

What is computed from windows counts those of one file as alike, so it matters that a window is of the file it is said
to be of, and that none holds a part of another.
"""

from __future__ import annotations

import hashlib
import json
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from refute.auditors.windows import Ids
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.distill import CorpusAuditConfig
from refute.spec.experiments.evidence.distill import CorpusManifest
from refute.spec.experiments.evidence.redo import HeldoutPlace
from refute.spec.experiments.evidence_files import CORPUS, CORPUS_MANIFEST, HELDOUT_WINDOWS, PLACES, PLANTED_PLACES
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import FileCorpus

_ENDS = ("<|endoftext|>", "<|end_of_text|>")
_BARE_ENDS = ("</s>", "<eos>")


def place_heldout(job: Job) -> None:
    """Write places.jsonl, a `HeldoutPlace` of each held-out window of input `corpus`, in their order.

    A file gives as many windows as the corpus says are of it, the middle ones of as many equal parts of those that it
    can be cut into. Files too short for a window go on in the next one; no window holds a part of another. Beside it
    planted.jsonl, by the same means, of a window that is right: moved on by a token, and under another name.
    Raises ExperimentError where the corpus names no file for a window, FileNotFoundError for one that is gone.
    """
    config = parse_config(CorpusAuditConfig, job)
    corpus = job.inputs[CORPUS]
    manifest = CORPUS_MANIFEST.read(corpus.folder, CORPUS)
    first = 0 if manifest.beginning_of_sequence is None else 1
    windows: Ids = load_file(corpus.path(HELDOUT_WINDOWS.name))["tokens"][:, first:]
    stated = manifest.heldout_files
    if len(stated) != len(windows):
        raise ExperimentError(
            f"the corpus names the files of {len(stated)} held-out windows and holds {len(windows)}",
            hint="make the corpus again",
        )
    reader = _Reader.of(Path(config.tokenizer.path), config, manifest)
    files = ((path, reader.ids(_text(config, path))) for path in _in_turn(manifest, config.corpus.seed))
    given = _given(files, Counter(stated), windows.shape[1])
    _write(job.out / PLACES.name, _places(windows, stated, given))
    if not given:
        raise ExperimentError("none of the held-out files gives a window", hint="make the corpus again")
    honest, name = next((np.frombuffer(window, dtype="<i4"), name) for window, name in given.items())
    planted = np.stack([np.roll(honest, -1), honest])
    _write(job.out / PLANTED_PLACES.name, _places(planted, [name, f"another than {name}"], given))


@dataclass(frozen=True, slots=True)
class _Reader:
    """How the text of a file becomes ids: texts between separators, each closed by `end`."""

    tokenizer: Tokenizer
    separator: re.Pattern[str] | None
    parses: bool
    begin: int | None
    end: int

    @classmethod
    def of(cls, folder: Path, config: CorpusAuditConfig, manifest: CorpusManifest) -> _Reader:
        """By the tokenizer in `folder`. What a spelt special token is, the corpus itself says."""
        kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
        found = kind.from_pretrained(folder, local_files_only=True)
        plain = Tokenizer.from_str(found.backend_tokenizer.to_str())
        plain.no_truncation()
        plain.no_padding()
        policy = config.corpus.special_tokens if isinstance(config.corpus, FileCorpus) else "literal"
        plain.encode_special_tokens = policy == "literal"
        ends = "|".join(map(re.escape, (*_ENDS, *(each for each in _BARE_ENDS if each == found.eos_token))))
        alone = rf"^[ \t]*(?:{ends})[ \t]*\r?(?:\n|\Z)"
        pattern = {"literal": None, "refuse": alone, "parse": f"{alone}|{ends}"}[policy]
        separator = None if pattern is None else re.compile(pattern, re.MULTILINE)
        return cls(plain, separator, policy == "parse", manifest.beginning_of_sequence, manifest.end_of_document)

    def ids(self, text: str) -> list[int]:
        """All texts of a file, end to end."""
        if self.separator is None or not self.separator.search(text):
            return self._closed(text)
        return [number for each in self.separator.split(text) if each.strip() for number in self._closed(each)]

    def _closed(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        if self.parses and ids[:1] == [self.begin]:
            ids = ids[1:]
        return ids if self.parses and ids[-1:] == [self.end] else [*ids, self.end]


def _in_turn(manifest: CorpusManifest, seed: int) -> list[str]:
    """The held-out files by SHA-256 of "seed, NUL, path", which is the order in which they were packed."""
    names = [file.path for file in manifest.files if file.split == "heldout"]
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())


def _text(config: CorpusAuditConfig, name: str) -> str:
    root = Path(config.path) if config.path is not None else Path(sysconfig.get_path("stdlib"))
    return (root / name).read_bytes().decode("utf-8-sig", "replace")


def _given(files: Iterable[tuple[str, Sequence[int]]], wanted: Mapping[str, int], length: int) -> dict[bytes, str]:
    """The windows that files give, and of each its file; `wanted` of each file, as far as it has so many others."""
    found, rest = dict[bytes, str](), list[int]()
    for name, ids in files:
        rest += ids
        cut = [
            np.array(rest[start : start + length], dtype="<i4").tobytes()
            for start in range(0, len(rest) // length * length, length)
        ]
        if not cut:
            continue
        rest = []
        new = [window for window in dict.fromkeys(cut) if window not in found]
        count = min(wanted.get(name, 0), len(new))
        found |= {new[(2 * number + 1) * len(new) // (2 * count)]: name for number in range(count)}
    return found


def _places(windows: Ids, stated: Sequence[str], given: Mapping[bytes, str]) -> Iterator[HeldoutPlace]:
    """Of each window its file, once: what stands there twice is no second window."""
    left = dict(given)
    for number, (window, name) in enumerate(zip(windows, stated, strict=True)):
        yield HeldoutPlace(window=number, file=left.pop(window.astype("<i4").tobytes(), None), stated=name)


def _write(path: Path, rows: Iterable[HeldoutPlace]) -> None:
    path.write_text("".join(json.dumps(row.as_json()) + "\n" for row in rows), encoding="utf-8")
