"""Rules about the files of a folder, whatever stands in them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from refute.attest.model_manifest import is_left_out
from refute.engines.model.tools.file_kind import RUNS_CODE, file_kind
from refute.engines.model.tools.lint.rule import Rule
from refute.engines.model.tools.stored import INDEX, StoredModel, file_tensors, read_object
from refute.errors import MissingInputsError

# What belongs to a released model; `.eval_results` and `figures` hold what its card shows.
_EXPECTED = re.compile(
    r"(model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json|[\w.-]+\.gguf"
    r"|(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config"
    r"|chat_template)\.json|chat_template\.jinja|merges\.txt|vocab\.txt|(tokenizer|spiece|sentencepiece\.bpe)\.model"
    r"|bom\.cdx\.json|verdict\.sigstore\.json|model\.sig|README\.md|LICEN[CS]E(\.\w+)?|NOTICE(\.\w+)?|USE_POLICY\.md|\.eval_results/[\w.-]+\.ya?ml"
    r"|(figures|assets)/[\w.-]+\.(png|svg|jpg))",
    re.ASCII,  # a letter that only looks like one of another name makes another name
)
# Of the folder itself: a library that is given the folder looks nowhere else. The bin file is a trainer's settings.
_OTHER_WEIGHTS = re.compile(r"(?!training_args\.bin)[^/]*\.(bin|pt|pth|ckpt|h5|msgpack|onnx|npz|npy)(\.index\.json)?")


def _files(stored: StoredModel) -> Iterator[tuple[str, Path]]:
    for path in sorted(stored.path.rglob("*")):
        name = path.relative_to(stored.path).as_posix()
        if path.is_file() and not is_left_out(name):
            yield name, path


def _runs_code(stored: StoredModel) -> Iterator[str]:
    for name, path in _files(stored):
        if (kind := file_kind(path)) in RUNS_CODE:
            yield f"{name} is a {kind}: to open it is to run what it holds"


def _pointers(stored: StoredModel) -> Iterator[str]:
    yield from (f"{name} is an LFS pointer" for name, path in _files(stored) if file_kind(path) == "lfs pointer")


def _empty(stored: StoredModel) -> Iterator[str]:
    yield from (f"{name} is empty" for name, path in _files(stored) if not path.stat().st_size)


def _unexpected(stored: StoredModel) -> Iterator[str]:
    """Files of the folder itself one by one; a folder within it, such as a trainer's checkpoint, is one finding."""
    within: dict[str, int] = {}
    for name, _ in _files(stored):
        top, below, _rest = name.partition("/")
        if is_model_file(name) or _OTHER_WEIGHTS.fullmatch(name):
            continue
        if below:
            within[top] = within.get(top, 0) + 1
        else:
            yield f"{name} is nothing that a reader of the model opens"
    yield from (f"{top}/ holds nothing that a reader of the model opens ({n} files)" for top, n in within.items())


def is_model_file(name: str) -> bool:
    """Whether a file of this name, relative to its folder, belongs to a released model."""
    return _EXPECTED.fullmatch(name) is not None


def _other_weights(stored: StoredModel) -> Iterator[str]:
    for name, _ in _files(stored):
        if _OTHER_WEIGHTS.fullmatch(name) or name == "adapter_config.json":
            yield f"{name}: weights in another format, which some libraries prefer"


def _modes(stored: StoredModel) -> Iterator[str]:
    for name, path in _files(stored):
        mode = stat.S_IMODE(path.stat().st_mode)
        if not mode & stat.S_IROTH or mode & (stat.S_IWOTH | stat.S_IXUSR):
            yield f"{name} has mode {mode:04o}"


def _index(stored: StoredModel) -> Iterator[str]:
    """The index against the files, and against their headers, both ways."""
    shards = {path.name for path in stored.path.glob("*.safetensors")}
    if not (stored.path / INDEX).is_file():
        if "model.safetensors" not in shards:
            yield f"neither model.safetensors nor {INDEX}"
        yield from (f"{name} lies beside model.safetensors, and no index names it" for name in sorted(shards)[1:])
        return
    stated = read_object(stored.path / INDEX).get("weight_map", {})
    named = set(stated.values())
    yield from (f"{name} is named by the index, and is not there" for name in sorted(named - shards))
    yield from (f"{name} lies beside the shards, and the index does not name it" for name in sorted(shards - named))
    held = {tensor: name for name in sorted(named & shards) for tensor in _names(stored.path / name)}
    missing = [tensor for tensor, name in stated.items() if name in shards and held.get(tensor) != name]
    extra = sorted(held.keys() - stated.keys())
    if missing:
        yield f"{len(missing)} tensors are not where the index says, such as {missing[0]}"
    if extra:
        yield f"{len(extra)} tensors are in no index, such as {extra[0]}"


def _names(path: Path) -> list[str]:
    try:
        return list(file_tensors(path))
    except MissingInputsError:  # which another rule names
        return []


def _required(stored: StoredModel) -> Iterator[str]:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if not (stored.path / name).is_file():
            yield f"no {name}"


_ONLY_THE_MODEL = "take it out (`refute model export` writes a folder without it); notes belong into README.md"

RULES = (
    Rule("file/runs-code", "error", "structure", "convert it to safetensors, and take it out", _runs_code),
    Rule("file/lfs-pointer", "error", "structure", "`git lfs pull`, or fetch it with `hf download`", _pointers),
    Rule("file/empty", "error", "structure", "fetch it again, or take it out", _empty),
    Rule("file/missing", "error", "structure", "save the model and its tokenizer once more", _required),
    Rule("file/index", "error", "structure", "save the weights once more: index and shards go together", _index),
    Rule("file/second-weights", "error", "structure", "publish one set of weights a folder", _other_weights),
    Rule("file/unexpected", "error", "structure", _ONLY_THE_MODEL, _unexpected),
    Rule("file/mode", "warn", "structure", "chmod 0644", _modes),
)
