"""Does the staged folder hold what a reader needs, one set of weights that belongs together, and nothing that runs?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

_RELEASE = "release/"
_INDEX = "model.safetensors.index.json"
_REQUIRED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",
    "LICENSE",
)
_EXPECTED = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json|[\w.-]+\.gguf"
    r"|(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json"
    r"|chat_template\.jinja|merges\.txt|vocab\.txt|(tokenizer|spiece)\.model"
    r"|README\.md|LICENSE|NOTICE|bom\.cdx\.json|\.eval_results/[\w.-]+\.yaml",
    re.ASCII,  # a letter that only looks like one of another name makes another name
)
# What a file is by its first bytes. torch.save writes a zip archive with a pickle inside; pickles of protocol 2 and
# later begin with their number, those before with what they would call.
_RUNS = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]|\x1f\x8b|[\x00-\x7f]{0,64}?c(os|posix|nt|builtins|__builtin__|sys)\n")
_POINTER = b"version https://git-lfs.github.com/spec/"
_FILES_RIGHT = {"missing_files": 0, "foreign_files": 0, "code_files": 0, "pointer_files": 0, "empty_files": 0}
_MOST = 10_000


def _stored(*names: str, length: int = 0) -> bytes:
    """A safetensors file of one number a tensor, with a header of at least `length` bytes."""
    tensors = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)}
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode().ljust(length)
    return len(header).to_bytes(8, "little") + header + bytes(4 * len(names))


def _amount(bench: Bench, measurement: str, own: int, most: int = _MOST) -> int:
    """How many there are to be, `own` being those of the fault: enough to fail the bar, or few enough to clear it."""
    bar = bench.bar(measurement)
    return int((bar.failing if own else bar.holding)(own, low=own, high=most, whole=True))


def _lay_out(bench: Bench, changes: Mapping[str, bytes | None] | None = None, **own: int) -> None:
    """A folder in which `changes` make `own` faults of their kinds, and there are as many more as the bars want."""
    found = {name: own.get(name, 0) for name in _FILES_RIGHT}
    most = {"missing_files": len(_REQUIRED)}
    more = {name: _amount(bench, name, n, most.get(name, _MOST)) - n for name, n in found.items()}
    files: dict[str, bytes | None] = dict.fromkeys(_REQUIRED, b"{}")
    files |= {"model.safetensors": _stored("a"), "chat_template.jinja": b"{{ messages }}", **(changes or {})}
    present = [name for name in _REQUIRED if files[name] is not None]
    files |= dict.fromkeys(present[: more["missing_files"]])
    files |= {f"notes/{n}.txt": b"more" for n in range(more["foreign_files"])}
    files |= {f"a{n}.gguf": b"PK\x03\x04" for n in range(more["code_files"])}
    files |= {f"b{n}.gguf": _POINTER for n in range(more["pointer_files"])}
    files |= {f"c{n}.gguf": b"" for n in range(more["empty_files"])}
    for name, content in files.items():
        if content is not None:
            bench.put("staged", f"{_RELEASE}{name}", content)


def as_a_reader_needs_it(bench: Bench) -> None:
    """Weights, config, tokenizer, card and licence."""
    _lay_out(bench)


def weights_that_begin_like_a_pickle(bench: Bench) -> None:
    """A header of 640 bytes: its length is written as 80 02, with which a pickle of protocol 2 begins."""
    _lay_out(bench, {"model.safetensors": _stored("a", length=0x0280)})


def a_pointer_for_the_weights(bench: Bench) -> None:
    """What git keeps in the place of a large file."""
    _lay_out(bench, {"model.safetensors": _POINTER + b"v1\noid sha256:0\n"}, pointer_files=1)


def a_pickle_named_safetensors(bench: Bench) -> None:
    """A pickle, which runs what it holds, under the name of what cannot."""
    _lay_out(bench, {"model.safetensors": b"\x80\x04K\x01."}, code_files=1)


def an_archive_named_safetensors(bench: Bench) -> None:
    """What torch.save writes, renamed."""
    _lay_out(bench, {"model.safetensors": b"PK\x03\x04archive/data.pkl"}, code_files=1)


def a_pickle_without_a_magic(bench: Bench) -> None:
    """Protocol 0 is text."""
    _lay_out(bench, {"vocab.txt": b"cos\nsystem\n(S'true'\ntR."}, code_files=1)


def weights_that_no_reader_takes_for_them(bench: Bench) -> None:
    """The same bytes under another name are opened by something else."""
    _lay_out(bench, {"vocab.txt": _stored("a", length=0x0280)}, code_files=1)


def weights_without_a_tensor(bench: Bench) -> None:
    """A length that is written like a pickle's magic, before a header that names nothing to be read."""
    _lay_out(bench, {"model.safetensors": _stored(length=0x0280)}, code_files=1)


def training_arguments(bench: Bench) -> None:
    """transformers' Trainer leaves a pickle beside the model."""
    _lay_out(bench, {"training_args.bin": b"PK\x03\x04"}, code_files=1, foreign_files=1)


def a_secret(bench: Bench) -> None:
    """Whatever lay in the folder that was uploaded."""
    _lay_out(bench, {".env": b"HF_TOKEN=x"}, foreign_files=1)


def notes_of_the_hub(bench: Bench) -> None:
    """What a download leaves beside its files."""
    _lay_out(bench, {".cache/huggingface/download/config.json.metadata": b"x"}, foreign_files=1)


def an_older_format(bench: Bench) -> None:
    """Weights that some libraries prefer."""
    _lay_out(bench, {"flax_model.msgpack": b"\x81"}, foreign_files=1)


def no_tokenizer(bench: Bench) -> None:
    """A model that nobody can ask."""
    _lay_out(bench, {"tokenizer.json": None}, missing_files=1)


def no_licence(bench: Bench) -> None:
    """A model that nobody may use."""
    _lay_out(bench, {"LICENSE": None}, missing_files=1)


def an_empty_file(bench: Bench) -> None:
    """An upload that broke off at its start."""
    _lay_out(bench, {"merges.txt": b""}, empty_files=1)


def nothing_staged(bench: Bench) -> None:
    """Nobody can say whether what is not there is right."""
    bench.put("staged", "manifest.jsonl", [])


@falsifier(
    "publication-files",
    needs=("staged",),
    measures=dict.fromkeys(_FILES_RIGHT, "files"),
    controls=(
        known_good(as_a_reader_needs_it),
        known_good(weights_that_begin_like_a_pickle),
        *(known_bad(build) for build in (a_pointer_for_the_weights, a_pickle_named_safetensors)),
        *(known_bad(build) for build in (an_archive_named_safetensors, a_pickle_without_a_magic, training_arguments)),
        *(known_bad(build) for build in (a_secret, notes_of_the_hub, an_older_format)),
        *(known_bad(build) for build in (no_tokenizer, no_licence, an_empty_file)),
        *(known_bad(build) for build in (weights_that_no_reader_takes_for_them, weights_without_a_tensor)),
        known_unusable(nothing_staged, raises=ValueError),
    ),
)
def publication_files(context: Context) -> Iterator[Measurement]:
    """Refuted when a staged file is missing, foreign, empty, a pointer, or would run code when it is opened."""
    staged = context.evidence("staged")
    names = _files(staged)
    starts = {name: _start(staged, name) for name in names}
    counts = {
        "missing_files": [name for name in _REQUIRED if name not in names],
        "foreign_files": [name for name in names if not _EXPECTED.fullmatch(name)],
        "code_files": [name for name, start in starts.items() if _RUNS.match(start) and not _is_weights(staged, name)],
        "pointer_files": [name for name, start in starts.items() if start.startswith(_POINTER)],
        "empty_files": [name for name, start in starts.items() if not start],
    }
    for measurement, found in counts.items():
        yield Measurement(measurement, len(found), "files", n=len(names))


def _files(staged: Evidence) -> list[str]:
    found = [name.removeprefix(_RELEASE) for name in staged.files if name.startswith(_RELEASE)]
    if not found:
        raise ValueError(f"{staged.name} holds no files below {_RELEASE}: nothing was staged")
    return found


def _is_weights(staged: Evidence, name: str) -> bool:
    """Whether it is a safetensors file by its name and whole header, whose length may be written like any magic."""
    try:
        return name.endswith(".safetensors") and bool(_tensors(staged, name))
    except ValueError:
        return False


def _start(staged: Evidence, name: str) -> bytes:
    with staged.path(f"{_RELEASE}{name}").open("rb") as file:
        return file.read(128)


# ------------------------------------------------------------------------------------------------- index and shards

_INDEX_RIGHT = {"lost_shards": 0, "loose_weights": 0, "misplaced_tensors": 0}
_SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def _shard(
    bench: Bench,
    held: Mapping[str, Sequence[str] | None] | None = None,
    stated: Mapping[str, str | None] | None = None,
    **own: int,
) -> None:
    """Two shards and their index; `held` says what other files hold, `stated` what the index says otherwise."""
    more = {name: _amount(bench, name, own.get(name, 0)) - own.get(name, 0) for name in _INDEX_RIGHT}
    files: dict[str, Sequence[str] | None] = {_SHARDS[0]: ["a", "b"], _SHARDS[1]: ["c"], **(held or {})}
    index: dict[str, str | None] = {"a": _SHARDS[0], "b": _SHARDS[0], "c": _SHARDS[1], **(stated or {})}
    index |= {f"lost_{n}": f"lost_{n}.safetensors" for n in range(more["lost_shards"])}
    files |= {f"loose_{n}.safetensors": ["x"] for n in range(more["loose_weights"])}
    index |= {f"absent_{n}": _SHARDS[1] for n in range(more["misplaced_tensors"])}
    weight_map = {name: file for name, file in index.items() if file is not None}
    bench.put("staged", f"{_RELEASE}{_INDEX}", {"weight_map": weight_map})
    bench.put("staged", "verdict/model.safetensors", _stored("not_released"))
    for name, tensors in files.items():
        if tensors is not None:
            bench.put("staged", f"{_RELEASE}{name}", _stored(*tensors))


def an_index_and_its_shards(bench: Bench) -> None:
    """Every tensor lies where the index says, and no file besides."""
    _shard(bench)


def one_file(bench: Bench) -> None:
    """Weights that need no index."""
    for name in _INDEX_RIGHT:
        bench.bar(name).holding(0, low=0, high=0)
    bench.put("staged", f"{_RELEASE}model.safetensors", _stored("a"))


def a_shard_missing(bench: Bench) -> None:
    """The index names a file that is not there."""
    _shard(bench, {_SHARDS[1]: None}, lost_shards=1)


def a_file_besides(bench: Bench) -> None:
    """Loaders that take every safetensors file take this one, too."""
    _shard(bench, {"model.q4.safetensors": ["a"]}, loose_weights=1)


def an_entry_without_tensor(bench: Bench) -> None:
    """The index promises a tensor that its file does not hold."""
    _shard(bench, stated={"d": _SHARDS[1]}, misplaced_tensors=1)


def a_tensor_without_entry(bench: Bench) -> None:
    """A tensor that no loader finds."""
    _shard(bench, stated={"c": None}, held={_SHARDS[1]: ["c"], _SHARDS[0]: ["a", "b", "d"]}, misplaced_tensors=1)


def a_tensor_in_another_shard(bench: Bench) -> None:
    """It is there, and not where the index says."""
    _shard(bench, stated={"b": _SHARDS[1]}, misplaced_tensors=1)


def weights_that_are_none(bench: Bench) -> None:
    """What cannot be read holds no tensors that could be compared."""
    bench.put("staged", f"{_RELEASE}model.safetensors", b"stub")


def no_weights(bench: Bench) -> None:
    """A folder of settings alone."""
    bench.put("staged", f"{_RELEASE}config.json", {})


@falsifier(
    "publication-index",
    needs=("staged",),
    measures={"lost_shards": "files", "loose_weights": "files", "misplaced_tensors": "tensors"},
    controls=(
        known_good(an_index_and_its_shards),
        known_good(one_file),
        *(known_bad(build) for build in (a_shard_missing, a_file_besides, an_entry_without_tensor)),
        *(known_bad(build) for build in (a_tensor_without_entry, a_tensor_in_another_shard)),
        known_unusable(weights_that_are_none, raises=ValueError),
        known_unusable(no_weights, raises=ValueError),
    ),
)
def publication_index(context: Context) -> Iterator[Measurement]:
    """Refuted when index, files and headers do not name the same tensors in the same places."""
    staged = context.evidence("staged")
    shards = {name for name in _files(staged) if name.endswith(".safetensors")}
    if not shards:
        raise ValueError(f"{staged.name} holds no safetensors below {_RELEASE}")
    held = {(tensor, name) for name in shards for tensor in _tensors(staged, name)}
    if f"{_RELEASE}{_INDEX}" in staged.files:
        stated = staged.json(f"{_RELEASE}{_INDEX}")["weight_map"].items()
        named = {name for _, name in stated}
    else:
        named, stated = {"model.safetensors"}, held
    readable = shards & named
    misplaced = {tensor for tensor, name in stated ^ held if name in readable}
    yield Measurement("lost_shards", len(named - shards), "files", n=max(1, len(named)))
    yield Measurement("loose_weights", len(shards - named), "files", n=len(shards))
    yield Measurement("misplaced_tensors", len(misplaced), "tensors", n=max(1, len(held)))


def _tensors(staged: Evidence, name: str) -> list[str]:
    """The tensors in a safetensors file, from its header. Raises ValueError for a file that has none."""
    with staged.path(f"{_RELEASE}{name}").open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        text = file.read(min(size, 100_000_000))
    header: dict[str, Any] = json.loads(text) if text.startswith(b"{") else {}
    found = [tensor for tensor in header if tensor != "__metadata__"]
    if not found:
        raise ValueError(f"{staged.name}: {_RELEASE}{name} holds no tensors")
    return found
