"""Does config.json describe the tensors that lie beside it?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

_RELEASE, _CONFIG, _TOKENIZER = "release/", "config.json", "tokenizer.json"
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_FIRST = "model.layers.0."
# How configurations call what safetensors stores.
_PRECISIONS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MEASURES = {
    "wrong_sizes": "settings",
    "wrong_heads": "heads",
    "wrong_precisions": "settings",
    "rowless_tokens": "tokens",
}
_SIZES = {
    "vocab_size": 6,
    "hidden_size": 4,
    "intermediate_size": 5,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
_ROWS = _SIZES["vocab_size"]
_MOST_TOKENS = 1000
_SHAPES: Mapping[str, Sequence[int]] = {
    _EMBEDDING: (_ROWS, 4),
    **{
        f"model.layers.{n}.{name}.weight": shape
        for n in range(2)
        for name, shape in (
            ("self_attn.q_proj", (4, 4)),
            ("self_attn.k_proj", (2, 4)),
            ("mlp.up_proj", (5, 4)),
        )
    },
}


def _stored(shapes: Mapping[str, Sequence[int]], *, precision: str = "F32", head: bytes | None = None) -> bytes:
    """A safetensors file whose tensors have these shapes; all numbers are 0 but those of another head."""
    tensors, data = {}, b""
    for name, shape in shapes.items():
        size = _BYTES[precision]
        for axis in shape:
            size *= axis
        tensors[name] = {"dtype": precision, "shape": list(shape), "data_offsets": [len(data), len(data) + size]}
        data += head * (size // len(head)) if head is not None and name == _HEAD else bytes(size)
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + data


def _lay_out(
    bench: Bench,
    config: Mapping[str, Any] | None = None,
    weights: bytes | None = None,
    **own: int,
) -> None:
    """A folder in which `config` and `weights` make `own` faults; no bar wants more of them than there can be, but of
    tokens without a row, of which there are as many as it wants."""
    found: dict[str, int] = {}
    for name in _MEASURES:
        n, bar = own.get(name, 0), bench.bar(name)
        most = _MOST_TOKENS if name == "rowless_tokens" else n
        found[name] = int((bar.failing if n else bar.holding)(n, low=n, high=most, whole=True))
    said = {**_SIZES, "tie_word_embeddings": True, "dtype": "float32", "torch_dtype": "float32", **(config or {})}
    bench.put("staged", f"{_RELEASE}{_CONFIG}", {key: value for key, value in said.items() if value is not None})
    bench.put("staged", f"{_RELEASE}model.safetensors", _stored(_SHAPES) if weights is None else weights)
    added = [{"id": _ROWS + n, "content": f"<{n}>"} for n in range(found["rowless_tokens"])]
    vocabulary = {f"token {n}": n for n in range(_ROWS)}
    bench.put("staged", f"{_RELEASE}{_TOKENIZER}", {"model": {"vocab": vocabulary}, "added_tokens": added})


def as_stored(bench: Bench) -> None:
    """Sizes, head and precision are those of the tensors."""
    _lay_out(bench)


def with_a_head_of_its_own(bench: Bench) -> None:
    """Not tied, and there is one."""
    shapes = {**_SHAPES, _HEAD: (6, 4)}
    _lay_out(bench, {"tie_word_embeddings": False}, _stored(shapes, head=b"\x01\x02\x03\x04"))


def a_head_stored_twice(bench: Bench) -> None:
    """Tied, and the head that lies there is the embedding."""
    _lay_out(bench, weights=_stored({_HEAD: (6, 4), **_SHAPES}))


def one_name_of_the_precision(bench: Bench) -> None:
    """A config of one generation of libraries."""
    _lay_out(bench, {"torch_dtype": None})


def heads_wider_than_the_model(bench: Bench) -> None:
    """Two heads of four numbers in a width of four."""
    wide = {name: (2 * shape[0], 4) if "self_attn" in name else shape for name, shape in _SHAPES.items()}
    _lay_out(bench, {"head_dim": 4}, _stored(wide))


def weights_of_another_model_elsewhere(bench: Bench) -> None:
    """What is not released is nobody's matter."""
    _lay_out(bench)
    bench.put("staged", "other/model.safetensors", _stored(dict.fromkeys(_SHAPES, (9, 9))))


def every_size_wrong(bench: Bench) -> None:
    """The config of another model: none of its sizes is that of the tensors."""
    wrong = {name: size + 1 for name, size in _SIZES.items()}
    _lay_out(bench, {**wrong, "head_dim": 2}, wrong_sizes=len(_SIZES))


def one_layer_too_many(bench: Bench) -> None:
    """The last layer would be filled with noise."""
    _lay_out(bench, {"num_hidden_layers": 3}, wrong_sizes=1)


def another_width(bench: Bench) -> None:
    """The width of another model of the family; the heads keep theirs."""
    _lay_out(bench, {"hidden_size": 8, "head_dim": 2}, wrong_sizes=1)


def other_groups(bench: Bench) -> None:
    """More key-value heads than the tensors have rows for."""
    _lay_out(bench, {"num_key_value_heads": 2}, wrong_sizes=1)


def fewer_rows(bench: Bench) -> None:
    """The vocabulary of the tokenizer, not of the padded embedding."""
    _lay_out(bench, {"vocab_size": 5}, wrong_sizes=1)


def untied_without_head(bench: Bench) -> None:
    """A head is promised, and nobody stored one: loaders make one up."""
    _lay_out(bench, {"tie_word_embeddings": False}, wrong_heads=1)


def tied_with_another_head(bench: Bench) -> None:
    """A merge left another head; converters trust the flag."""
    _lay_out(bench, weights=_stored({**_SHAPES, _HEAD: (6, 4)}, head=b"\x01\x02\x03\x04"), wrong_heads=1)


def half_as_precise_as_said(bench: Bench) -> None:
    """float32 is said, by either name, and bfloat16 is stored."""
    _lay_out(bench, weights=_stored(_SHAPES, precision="BF16"), wrong_precisions=2)


def float32_by_accident(bench: Bench) -> None:
    """One of the two names says bfloat16: who reads that one loads other numbers than lie here."""
    _lay_out(bench, {"torch_dtype": "bfloat16"}, wrong_precisions=1)


def more_tokens_than_rows(bench: Bench) -> None:
    """A token was added to the tokenizer, and not to the model: its id looks up what is not there."""
    _lay_out(bench, rowless_tokens=1)


def pieces_beyond_the_rows(bench: Bench) -> None:
    """A vocabulary that is a list of pieces with scores, as SentencePiece's, and longer than the embedding."""
    _lay_out(bench, rowless_tokens=2)
    pieces = [[f"piece {n}", -1.0] for n in range(_ROWS + 2)]
    bench.put("staged", f"{_RELEASE}{_TOKENIZER}", {"model": {"vocab": pieces}})


def no_embedding(bench: Bench) -> None:
    """Names that are none of a decoder's: nothing can be compared."""
    _lay_out(bench, weights=_stored({"other.weight": (1, 1)}))


def no_layers(bench: Bench) -> None:
    """An embedding alone."""
    _lay_out(bench, weights=_stored({_EMBEDDING: (_ROWS, 4)}))


def layers_without_embedding(bench: Bench) -> None:
    """The rows that tokens look up are not there."""
    _lay_out(bench, weights=_stored({name: shape for name, shape in _SHAPES.items() if name != _EMBEDDING}))


@falsifier(
    "publication-config",
    needs=("staged",),
    measures=_MEASURES,
    controls=(
        known_good(as_stored),
        known_good(with_a_head_of_its_own),
        *(known_good(build) for build in (a_head_stored_twice, one_name_of_the_precision)),
        *(known_good(build) for build in (heads_wider_than_the_model, weights_of_another_model_elsewhere)),
        *(known_bad(build) for build in (every_size_wrong, one_layer_too_many, another_width)),
        *(known_bad(build) for build in (other_groups, fewer_rows, untied_without_head, tied_with_another_head)),
        *(known_bad(build) for build in (half_as_precise_as_said, float32_by_accident)),
        *(known_bad(build) for build in (more_tokens_than_rows, pieces_beyond_the_rows)),
        *(known_unusable(build, raises=ValueError) for build in (no_embedding, no_layers, layers_without_embedding)),
    ),
)
def publication_config(context: Context) -> Iterator[Measurement]:
    """Refuted when a size in config.json, the flag of a tied head, or a precision that it names is not the tensors', or
    when the tokenizer has ids beyond the embedding's rows."""
    staged = context.evidence("staged")
    config = staged.json(f"{_RELEASE}{_CONFIG}")
    tensors = _tensors(staged)
    if _EMBEDDING not in tensors or f"{_FIRST}mlp.up_proj.weight" not in tensors:
        raise ValueError(f"{staged.name} holds no {_EMBEDDING} or no {_FIRST}mlp.up_proj.weight")
    found = _sizes(config, tensors)
    wrong = [name for name, size in found.items() if config.get(name, size) != size]
    said = [config[name] for name in ("dtype", "torch_dtype") if name in config]
    stored = {_PRECISIONS.get(each["dtype"]) for each in tensors.values()}
    yield Measurement("wrong_sizes", len(wrong), "settings", n=len(found))
    yield Measurement("wrong_heads", int(_is_wrong_head(staged, config, tensors)), "heads", n=1)
    yield Measurement("wrong_precisions", sum(each not in stored for each in said), "settings", n=max(1, len(said)))
    rows, ids = int(tensors[_EMBEDDING]["shape"][0]), _ids(staged.json(f"{_RELEASE}{_TOKENIZER}"))
    yield Measurement("rowless_tokens", sum(each >= rows for each in ids), "tokens", n=max(1, len(ids)))


def _ids(tokenizer: Mapping[str, Any]) -> set[int]:
    """Of every token: a vocabulary names them, or is a list of pieces in their order."""
    known = tokenizer["model"]["vocab"]
    own = set(known.values()) if isinstance(known, dict) else set(range(len(known)))
    return own | {int(each["id"]) for each in tokenizer.get("added_tokens", ())}


def _sizes(config: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """By the shapes alone, but for the width of a head, which no shape tells."""
    rows, hidden = tensors[_EMBEDDING]["shape"]
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return {
        "vocab_size": rows,
        "hidden_size": hidden,
        "intermediate_size": tensors[f"{_FIRST}mlp.up_proj.weight"]["shape"][0],
        "num_hidden_layers": len({found[1] for name in tensors if (found := _LAYER.match(name))}),
        "num_attention_heads": tensors[f"{_FIRST}self_attn.q_proj.weight"]["shape"][0] / width,
        "num_key_value_heads": tensors[f"{_FIRST}self_attn.k_proj.weight"]["shape"][0] / width,
    }


def _is_wrong_head(staged: Evidence, config: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Any]]) -> bool:
    if _HEAD not in tensors:
        return not config.get("tie_word_embeddings", False)
    return bool(config.get("tie_word_embeddings", False)) and _bytes(staged, tensors[_HEAD]) != _bytes(
        staged, tensors[_EMBEDDING]
    )


def _tensors(staged: Evidence) -> dict[str, dict[str, Any]]:
    """The headers of all weights: dtype, shape, file, and where the bytes begin and end in it."""
    found: dict[str, dict[str, Any]] = {}
    for file in staged.files:
        if file.startswith(_RELEASE) and file.endswith(".safetensors"):
            with staged.path(file).open("rb") as stream:
                start = 8 + int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(start - 8))
            for name, each in header.items():
                if name != "__metadata__":
                    first, last = each["data_offsets"]
                    found[name] = {**each, "file": file, "place": (start + first, last - first)}
    return found


def _bytes(staged: Evidence, tensor: Mapping[str, Any]) -> bytes:
    first, size = tensor["place"]
    with staged.path(tensor["file"]).open("rb") as stream:
        stream.seek(first)
        return stream.read(size)
