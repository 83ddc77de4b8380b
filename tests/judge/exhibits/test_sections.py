"""What a report says of exports: from evidence, or that there is none."""

from __future__ import annotations

import json
from pathlib import Path

from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.exhibits import Section
from refute.judge.run.folder import EvidenceLine

KL = {"positions": [5, 9], "kl": [1e-6, 3e-6], "same_first": [True, True]}
CONVERSION = {"file": "m.F16.gguf", "label": "F16", "llama_cpp": "b1", "divergence": KL, "known_bad": {}}
WAY = {"file": "m", "prompt": [1], "ids": [2], "behind": [0.0], "text": "x", "reached": [], "versions": {}}
PATHS = [{**WAY, "path": "refute", "failed": None}, {**WAY, "path": "llama.cpp F16", "failed": "it stopped"}]
USAGE = {"paths": PATHS, "snippets": [], "not_run": {}}


def exports_of(folder: Path, files: dict[str, tuple[str, object]]) -> Section:
    """Section 4, where the evidence of a name holds a file."""
    lines = {}
    for name, (file, content) in files.items():
        (folder / name).mkdir()
        (folder / name / file).write_text(json.dumps(content), encoding="utf-8")
        lines[name] = EvidenceLine(name=name, digest="d" * 64, folder=str(folder / name), files={file: "e" * 64})
    return exhibits(lines, ()).sections[3]


def test_exports_are_shown_by_what_was_measured_of_them(tmp_path: Path) -> None:
    """How far the converted file is from the folder, and which ways of using the release worked."""
    found = exports_of(tmp_path, {"converted": ("conversion.json", CONVERSION), "used": ("usage.json", USAGE)})
    assert (found.title, found.state) == ("Exports", "measured")
    assert {fact.label: fact.value for fact in found.facts} == {
        "Mean KL, nat: F16 in llama.cpp against the folder, 2 positions": "2e-06",
        "Largest of them, nat": "3e-06",
        "Worked as strangers use it, of 2 ways": "refute",
    }


def test_a_release_that_publishes_nothing_says_so(tmp_path: Path) -> None:
    """And not that there is nothing to export with."""
    found = exports_of(tmp_path, {})
    assert (found.state, found.note) == ("not_run", "the release publishes nothing, so no file was exported")
