"""Twenty releases that others have published, and their kin: planted into a student, a file or a card, each is refuted
by the measurement that is about it.

Numbers, cases and sources are those of the specification's `source`s. What a folder shows is in
tests/falsifiers/test_published_faults.py, too; here real engines look.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from builtin_uses import REGISTRY, USES
from exported_student import Desk
from folder_faults import FAULTS, change_tensors
from refute.disk import file_sha256
from refute.engines.export.gguf.file import Source, export_gguf, read_source
from refute.engines.export.proofs import known_bad
from refute.engines.export.proofs.conversion import compare, in_llama_cpp, in_transformers
from refute.engines.export.proofs.ends import find_ends
from refute.engines.export.proofs.quantisation import compare_blocks, open_blocks
from refute.engines.export.proofs.readings import beside, read_in_both
from refute.engines.export.proofs.renderings import render_everywhere
from refute.engines.model.folder import load_model
from refute.engines.model.generations.older_transformers import older_python
from refute.engines.model.generations.portable import make_portable
from refute.engines.model.generations.try_both import RELEASED, ask, compared, make_request
from refute.engines.model.gguf import open_gguf
from refute.engines.model.server.llama_cpp import LlamaCpp, serve_in_llama_cpp
from refute.engines.model.tokenizer import open_tokenizer
from refute.falsifier.context import Context, Evidence
from refute.outcome import Outcome
from refute.spec.bars.decide import control_outcome
from refute.spec.experiments.evidence_files import INIT, STUDENT
from refute.spec.publication import ExportLabel
from refute.spec.release import HfModel
from released_model import edit
from staged_card import staged

CONFIG, GENERATION, TOKENIZER, TEXTS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
)
Plant = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Case:
    """`number` of the reference, what is planted into the folder or its conversion, and the measurement that fails."""

    number: int
    falsifier: str
    measurement: str
    folder: Plant = lambda _folder: None
    source: Callable[[Source], Source] = lambda source: source
    file: Plant = lambda _file: None


def _tokenizer_json(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(folder, TEXTS, change)


def _swap(content: dict[str, Any]) -> None:
    known = content["model"]["vocab"]
    known["a"], known["e"] = known["e"], known["a"]


def _begin_always(content: dict[str, Any]) -> None:
    """What an `add_bos_token` of 4.x becomes: a tokenizer that begins each text."""
    number = next(each["id"] for each in content["added_tokens"] if each["content"] == "<|turn|>")
    text = {"Sequence": {"id": "A", "type_id": 0}}
    begin = {"SpecialToken": {"id": "<|turn|>", "type_id": 0}}
    special = {"<|turn|>": {"id": "<|turn|>", "ids": [number], "tokens": ["<|turn|>"]}}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": special,
    }


def _speak_twice(folder: Path) -> None:
    """A template that begins a text which its first turn begins once more."""
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(f"<|turn|>{template}", encoding="utf-8")
    edit(folder, TOKENIZER, chat_template=f"<|turn|>{template}")


def _vocabulary(source: Source, **changed: Any) -> Source:
    return replace(source, vocabulary=replace(source.vocabulary, **changed))


def _only_end(source: Source, end: int) -> Source:
    special = {**source.vocabulary.special, "eos": end}
    return _vocabulary(source, ends=(end,), special=special)


def _bytes(pattern: bytes, file: Path) -> None:
    """The first block of a matrix, its scale above all, as `pattern`."""
    tensor = next(each for each in open_gguf(file).tensors if each.name == "blk.0.ffn_up.weight")
    with file.open("r+b") as stream:
        stream.seek(int(tensor.data_offset))
        stream.write(pattern)


def _another_head(folder: Path) -> None:
    change_tensors(
        lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"][::-1].copy()}), folder
    )


def _card(old: str, new: str, world: Path) -> None:
    path = world / "staged/release/README.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _made_again(world: Path) -> None:
    path = world / "humaneval_student/summary.json"
    path.write_text(f"{path.read_text(encoding='utf-8')} ", encoding="utf-8")


TOKENS, ENDS, TEMPLATE = "publication-tokens", "publication-ends", "publication-template"
CONVERSION, QUANTISATION, PORTABLE = "publication-conversion", "publication-quantisation", "publication-portable"
SETTINGS, INDEX, FILES, NUMBERS, CARD = (
    f"publication-{name}" for name in ("config", "index", "files", "weights", "card")
)
CASES = {
    "another tokenizer": Case(
        1, TOKENS, "unlike_init", partial(_tokenizer_json, change=lambda c: c.update(normalizer={"type": "Lowercase"}))
    ),
    "swapped ids": Case(1, TOKENS, "unlike_init", partial(_tokenizer_json, change=_swap)),
    "a merge less": Case(
        1, TOKENS, "unlike_init", partial(_tokenizer_json, change=lambda c: c["model"]["merges"].pop())
    ),
    "a beginning that the init has not": Case(2, TOKENS, "unlike_init", partial(_tokenizer_json, change=_begin_always)),
    "a beginning in the file alone": Case(2, TOKENS, "differing", source=partial(_vocabulary, begins_with_bos=True)),
    "two beginnings in the template": Case(2, TEMPLATE, "begins", _speak_twice),
    "an end of nobody's": Case(3, ENDS, "missing_ends", partial(edit, name=GENERATION, eos_token_id=7)),
    "no end": Case(3, ENDS, "missing_ends", partial(edit, name=GENERATION, eos_token_id=[])),
    "a third end": Case(4, ENDS, "missing_ends", partial(edit, name=CONFIG, eos_token_id=9)),
    "a file without the turn's end": Case(4, ENDS, "missing_ends", source=partial(_only_end, end=0)),
    "a file that runs on": Case(4, ENDS, "running_on", source=partial(_only_end, end=0)),
    "the document's end alone": Case(5, ENDS, "missing_ends", partial(edit, name=GENERATION, eos_token_id=[0])),
    "rope in one spelling": Case(
        6, PORTABLE, "max_difference", partial(edit, name=CONFIG, rope_theta=None, rope_scaling=None)
    ),
    "a class of one generation": Case(
        7, PORTABLE, "failed_loads", partial(edit, name=TOKENIZER, tokenizer_class="TokenizersBackend")
    ),
    "a template in its file alone": Case(8, TEMPLATE, "differing", partial(edit, name=TOKENIZER, chat_template=None)),
    "a template in the config alone": Case(
        8, TEMPLATE, "differing", lambda folder: (folder / "chat_template.jinja").unlink()
    ),
    "no template in the file": Case(8, TEMPLATE, "differing", source=known_bad.without_template),
    "a tie over another head": Case(9, SETTINGS, "wrong_heads", _another_head),
    "another head in the file": Case(9, CONVERSION, "mean_kl", source=known_bad.another_head),
    "no tie and no head": Case(10, SETTINGS, "wrong_heads", partial(edit, name=CONFIG, tie_word_embeddings=False)),
    "a tie in another place": Case(
        11,
        SETTINGS,
        "wrong_heads",
        partial(edit, name=CONFIG, tie_word_embeddings=None, text_config={"tie_word_embeddings": True}),
    ),
    **{
        name: Case(number, falsifier, measurement, FAULTS[name][1])
        for name, number, falsifier, measurement in (
            ("a missing shard", 12, INDEX, "lost_shards"),
            ("an index entry without tensor", 13, INDEX, "misplaced_tensors"),
            ("stray weights", 14, INDEX, "loose_weights"),
        )
    },
    "scaling lost in the file": Case(15, CONVERSION, "largest_kl", source=known_bad.lost_rope_factors),
    "another base in the file": Case(15, CONVERSION, "mean_kl", source=known_bad.other_rope_base),
    "scaling lost in one spelling": Case(15, PORTABLE, "max_difference", partial(edit, name=CONFIG, rope_scaling=None)),
    "no way of splitting": Case(16, TOKENS, "differing", source=known_bad.without_splitting),
    "types all alike": Case(16, TOKENS, "differing", source=known_bad.every_token_normal),
    "rows of q and k in their own order": Case(17, CONVERSION, "mean_kl", source=known_bad.unpermuted_queries_and_keys),
    "more tokens than rows": Case(
        18,
        SETTINGS,
        "rowless_tokens",
        partial(_tokenizer_json, change=lambda c: c["added_tokens"].append({"id": 300, "content": "<x>"})),
    ),
    "NaN in a block": Case(19, QUANTISATION, "not_finite", file=partial(_bytes, b"\xff" * 34)),
    "an infinite scale": Case(19, QUANTISATION, "not_finite", file=partial(_bytes, b"\x00\x7c" + b"\x01" * 32)),
    "zeros in a block": Case(19, QUANTISATION, "error_8_bit", file=partial(_bytes, bytes(34 * 64))),
    "another score": Case(20, CARD, "unresolved", partial(_card, "| 1.2 |", "| 1.3 |")),
    "a number of nobody's": Case(20, CARD, "unresolved", partial(_card, "A model:", "A model of 370M:")),
    "evidence that was made again": Case(20, CARD, "stale", _made_again),
}
PORTABLES = {name: case for name, case in CASES.items() if case.falsifier == PORTABLE}


def test_all_twenty_are_there() -> None:
    """And kin of most of them."""
    assert {case.number for case in CASES.values()} == set(range(1, 21))


# ------------------------------------------------------------------------------------------------ who looks


@dataclass(frozen=True, slots=True)
class Planted:
    """A student with a fault in its folder or in what is exported from it."""

    case: Case
    folder: Path
    init: Path
    scratch: Path

    @contextmanager
    def served(self) -> Iterator[tuple[Path, LlamaCpp]]:
        """Its file of full precision in llama.cpp."""
        path = self.scratch / "planted.F16.gguf"
        export_gguf(self.case.source(read_source(self.folder)), path, ExportLabel.F16, lambda *_: None)
        with serve_in_llama_cpp(path, context=256, threads=1) as server:
            yield path, server


def _open(folder: Path) -> Any:
    return open_tokenizer(HfModel(format="hf", path="model"), folder)


def _texts(planted: Planted) -> dict[str, Any]:
    tokenizer = _open(planted.folder)
    found = beside(tokenizer, _open(planted.init))
    if planted.case.measurement == "unlike_init":  # such a folder may have no counterpart in llama.cpp
        texts = [{"kind": "none", "folder": (), "llama_cpp": ()}]
        return {"readings": [{"file": "none", "texts": texts}], "beside_init": found.as_json()}
    with planted.served() as (path, server):
        readings = read_in_both(path.name, tokenizer, server).model_dump()
    return {"readings": [readings], "beside_init": found.as_json()}


def _ends(planted: Planted) -> dict[str, Any]:
    model = load_model(planted.folder, device="cpu")
    with planted.served() as (path, server):
        found = find_ends(planted.folder, model, _open(planted.folder), open_gguf(path), server)
    return {"ends": found.model_dump()}


def _renderings(planted: Planted) -> dict[str, Any]:
    with planted.served() as (path, server):
        found = render_everywhere(planted.folder, _open(planted.folder), open_gguf(path), server)
    return {"renderings": [each.model_dump() for each in found]}


def _divergence(planted: Planted) -> dict[str, Any]:
    ids, places = np.random.default_rng(17).integers(3, 290, 61).tolist(), (3, 9, 31, 60)
    expected = in_transformers(load_model(planted.folder, device="cpu"), ids, places)
    path = planted.scratch / "planted.F16.gguf"
    export_gguf(planted.case.source(read_source(planted.folder)), path, ExportLabel.F16, lambda *_: None)
    return {"divergence": compare(expected, in_llama_cpp(path, ids, places, 300, 1), places).model_dump()}


def _blocks(planted: Planted) -> dict[str, Any]:
    source = read_source(planted.folder)
    paths = {label: planted.scratch / f"planted.{label.value}.gguf" for label in (ExportLabel.F16, ExportLabel.Q8_0)}
    for label, path in paths.items():
        export_gguf(source, path, label, lambda *_: None)
    planted.case.file(paths[ExportLabel.Q8_0])
    (full, _), (found, layers) = (open_blocks(path) for path in paths.values())
    return {"files": [compare_blocks("planted", ExportLabel.Q8_0, layers, found, full).model_dump()]}


LOOKS: Mapping[str, tuple[str, str, Callable[[Planted], dict[str, Any]]]] = {
    TOKENS: ("tokenised", "tokens.json", _texts),
    ENDS: ("tokenised", "tokens.json", _ends),
    TEMPLATE: ("rendered", "templates.json", _renderings),
    CONVERSION: ("converted", "conversion.json", _divergence),
    QUANTISATION: ("quantised", "quantisation.json", _blocks),
}


def _evidence(folder: Path) -> Evidence:
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}
    return Evidence(folder.name, "d" * 64, folder, files)


def failed(falsifier: str, evidence: Mapping[str, Evidence]) -> set[str]:
    """The measurements that fail the bars of SPEC-HF-PUBLISH-001, each by its bar alone."""
    use = next(use for use in USES if use.uses == falsifier and use.id.startswith("F-PUBLISH"))
    found = {each.name: each for each in REGISTRY[falsifier].measure(Context({}, evidence))}
    alone = {bar: use.model_copy(update={"thresholds": {bar: text}}) for bar, text in use.thresholds.items()}
    return {bar for bar, one in alone.items() if control_outcome(one, [found[bar]])[0] is Outcome.FALSIFIED}


def look(case: Case, desk: Desk) -> set[str]:
    """What fails of the student at the desk once `case` is planted."""
    folder, scratch = desk.root / STUDENT / "model", desk.root.parent / "planted"
    case.folder(folder)
    scratch.mkdir()
    if case.falsifier not in LOOKS:
        (scratch / "staged").mkdir()
        folder.rename(scratch / "staged" / "release")
        return failed(case.falsifier, {"staged": _evidence(scratch / "staged")})
    name, file, looked = LOOKS[case.falsifier]
    content = looked(Planted(case, folder, desk.root / INIT / "model", scratch))
    (scratch / name).mkdir()
    (scratch / name / file).write_text(json.dumps(content), encoding="utf-8")
    return failed(case.falsifier, {name: _evidence(scratch / name)})


# ------------------------------------------------------------------------------------------------ what is seen


@pytest.mark.slow  # a file in llama.cpp each
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.falsifier not in (PORTABLE, CARD)])
def test_a_public_failure_is_refuted(name: str, bare: Desk) -> None:
    """By its measurement, whichever others it touches."""
    assert CASES[name].measurement in look(CASES[name], bare)


@pytest.mark.slow  # a file in llama.cpp each
@pytest.mark.parametrize(
    ("falsifier", "beyond"),
    [
        (TOKENS, set()),
        (ENDS, set()),
        (TEMPLATE, set()),
        (CONVERSION, {"positions", "furthest"}),  # of 64
        (QUANTISATION, set()),
        (SETTINGS, set()),
        (INDEX, set()),
    ],
)
def test_without_a_fault_nothing_is(falsifier: str, beyond: set[str], bare: Desk) -> None:
    """But for what so small a model has not."""
    assert look(Case(0, falsifier, ""), bare) == beyond


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.falsifier == CARD])
def test_a_number_of_a_card_is_refuted(name: str, world: Path) -> None:
    """Against the evidence of this release."""
    staged(world)
    assert failed(CARD, {each.name: _evidence(each) for each in world.iterdir()}) == set()
    CASES[name].folder(world)
    assert CASES[name].measurement in failed(CARD, {each.name: _evidence(each) for each in world.iterdir()})


@pytest.mark.exhaustive  # pip makes an environment
def test_what_one_generation_reads_otherwise_is_refuted(bare: Desk, tmp_path: Path) -> None:
    """One process of either opens all of these folders."""
    folders = {}
    for name, case in {"sound": Case(0, PORTABLE, ""), **PORTABLES}.items():
        folders[name] = bare.root.parent / name
        _copy(bare.root / STUDENT / "model", folders[name])
        case.folder(folders[name])
    older, newer = (
        ask(python, make_request(folders, threads=1), tmp_path / python.parents[1].name)
        for python in (older_python(), _own_python())
    )
    seen = {}
    for name in folders:
        alike = [replace(each, folders={RELEASED: each.folders[name]}) for each in (older, newer)]
        place = tmp_path / "seen" / name / "generations"
        place.mkdir(parents=True)
        (place / "generations.json").write_text(json.dumps(compared(*alike).as_json()), encoding="utf-8")
        if name in older.logits and name in newer.logits:
            save_file({"older": older.logits[name], "newer": newer.logits[name]}, place / "logits.safetensors")
        seen[name] = failed(PORTABLE, {"generations": _evidence(place)})
    assert seen.pop("sound") == set()
    assert {name: case.measurement in seen[name] for name, case in PORTABLES.items()} == dict.fromkeys(PORTABLES, True)


def _copy(folder: Path, to: Path) -> None:
    shutil.copytree(folder, to)
    make_portable(to)


def _own_python() -> Path:
    return Path(sys.executable)
