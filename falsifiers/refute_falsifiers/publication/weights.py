"""Are the numbers that are released those of a trained model: finite, alive, each layer its own, and not the init's?"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

_RELEASE, _MODEL, _FILE = "release/", "model/", "model.safetensors"
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LAYER = re.compile(r"\.layers\.(\d+)\.(.*)")
# Rows of tokens that nobody uses may be zero: padding of the vocabulary.
_TOKENS = ("embed_tokens.weight", "lm_head.weight")
_LAYERS, _ROWS, _WIDTH = 40, 10, 12
_ROWS_AT_ONCE = 4096
_FAULTS = ("non_finite", "dead_rows", "repeated_layers", "copied_tensors")

Tensors = dict[str, NDArray[np.float32]]


def _tensors(seed: int) -> Tensors:
    draw = np.random.default_rng(seed)
    found = {
        f"model.layers.{n}.mlp.up_proj.weight": draw.normal(0.0, 0.05, (_ROWS, _WIDTH)).astype(np.float32)
        for n in range(_LAYERS)
    }
    return {**found, "model.norm.weight": np.ones(_WIDTH, np.float32), "model.scale": np.ones((), np.float32)}


def _stored(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """A safetensors file of them; beside them notes, and positions, which are no numbers of a model."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, numbers in {"model.position_ids": np.zeros((1, 4), np.int64), **tensors}.items():
        kind = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64"}[numbers.dtype.name]
        place = [len(data), len(data) + numbers.nbytes]
        header[name] = {"dtype": kind, "shape": list(numbers.shape), "data_offsets": place}
        data += numbers.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _lay_out(bench: Bench, *, number: float = np.nan, **own: int) -> None:
    """Two models of forty layers; the released one has `own` faults, and as many more as the bars want.

    Each kind of fault has layers of its own, so that none makes another: `number` stands where it may not.
    """
    init, released = _tensors(1), _tensors(2)
    names = list(released)
    ends = {"non_finite": _ROWS * _WIDTH, "dead_rows": _ROWS * 10, "repeated_layers": 13, "copied_tensors": 12}
    count = {name: _amount(bench, name, own.get(name, 0), most) for name, most in ends.items()}
    released[names[0]].ravel()[_ROWS * _WIDTH - count["non_finite"] :] = number
    for row in range(count["dead_rows"]):
        released[names[1 + row // _ROWS]][-1 - row % _ROWS] = 0.0
    for n in range(count["repeated_layers"]):
        released[names[13 + n]] = released[names[12]].copy()
    for n in range(count["copied_tensors"]):
        released[names[27 + n]] = init[names[27 + n]].copy()
    _put(bench, released, init)


def _amount(bench: Bench, measurement: str, own: int, most: int) -> int:
    bar = bench.bar(measurement)
    return int((bar.failing if own else bar.holding)(own, low=own, high=most, whole=True))


def _put(bench: Bench, released: Mapping[str, NDArray[Any]], init: Mapping[str, NDArray[Any]]) -> None:
    bench.put("staged", f"{_RELEASE}{_FILE}", _stored(released))
    bench.put("staged", f"{_RELEASE}README.md", b"weights of a model")
    bench.put("staged", f"verdict/{_FILE}", _stored({"not.released": np.full((2, 2), np.nan, np.float32)}))
    bench.put("init", f"{_MODEL}{_FILE}", _stored(init))


def trained_weights(bench: Bench) -> None:
    """Every number finite, every row alive, every layer its own and another than the init's."""
    _lay_out(bench)


def zeros_that_may_be(bench: Bench) -> None:
    """Rows of an embedding, longer than what is read at a time, that pad the vocabulary; a bias; and no such tensor in
    the init."""
    for name in _FAULTS:
        bench.bar(name).holding(0, low=0, high=0)
    embedding = np.zeros((_ROWS_AT_ONCE + 2, 2), np.float32)
    embedding[:2] = 1.0
    _put(bench, {**_tensors(2), _TOKENS[0]: embedding, "model.norm.bias": np.zeros(_WIDTH, np.float32)}, _tensors(1))


def not_a_number(bench: Bench) -> None:
    """One weight that no engine can compute with: some refuse the file, some answer with nothing."""
    _lay_out(bench, non_finite=1)


def infinities(bench: Bench) -> None:
    """An overflow on the way to a smaller format."""
    _lay_out(bench, non_finite=1, number=np.inf)


def an_overflow_in_sixteen_bits(bench: Bench) -> None:
    """Infinity in bfloat16, behind as many rows as are read at a time."""
    numbers = np.full((_ROWS_AT_ONCE + 1, 1), 0x3F80, np.uint16)
    numbers[-1] = 0x7F80
    bench.bar("non_finite").failing(1, low=1, high=1, whole=True)
    _put(bench, {**_tensors(2), "model.head.weight": numbers}, _tensors(1))


def a_dead_row(bench: Bench) -> None:
    """A row of zeros: a neuron that was lost."""
    _lay_out(bench, dead_rows=1)


def a_layer_twice(bench: Bench) -> None:
    """A merge or a pruning took one layer for two."""
    _lay_out(bench, repeated_layers=1)


def a_tensor_of_the_init(bench: Bench) -> None:
    """A matrix that was never trained, or was put back."""
    _lay_out(bench, copied_tensors=1)


def _put_rounded(bench: Bench, released: NDArray[Any], init: NDArray[Any], *, copied: int) -> None:
    """Two models that differ, but for one matrix, of which one is stored in another format."""
    for other in () if copied else _FAULTS[:-1]:
        bench.bar(other).holding(0, low=0, high=0)
    bar = bench.bar("copied_tensors")
    (bar.failing if copied else bar.holding)(copied, low=copied, high=copied, whole=True)
    name = "model.head.weight"
    _put(bench, {**_tensors(2), name: released}, {**_tensors(1), name: init})


# In sixteen bits 1, the same (a half below, to even), 1 and two steps (a half above, to even), one step of 1, and -1.
_PRECISE = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1.0]], np.float32)
_COARSE = np.array([[0x3F80, 0x3F80, 0x3F82, 0x3F81, 0xBF80]], np.uint16)


def a_rounded_tensor_of_the_init(bench: Bench) -> None:
    """A matrix that was never trained, and is released in bfloat16."""
    _put_rounded(bench, _COARSE, _PRECISE, copied=1)


def a_tensor_of_the_init_in_float16(bench: Bench) -> None:
    """A matrix that was never trained, and is released in float16."""
    _put_rounded(bench, _PRECISE.astype(np.float16), _PRECISE, copied=1)


def a_widened_tensor_of_the_init(bench: Bench) -> None:
    """A matrix that was never trained, of an init in bfloat16."""
    _put_rounded(bench, np.array([[1.0, 1.0, 1 + 2**-6, 1 + 2**-7, -1.0]], np.float32), _COARSE, copied=1)


def one_step_from_the_init(bench: Bench) -> None:
    """Trained by as little as bfloat16 shows, behind as many rows as are read at a time."""
    moved, before = (np.repeat(each, _ROWS_AT_ONCE + 1, axis=0) for each in (_COARSE, _PRECISE))
    moved[-1, 1] += 1
    _put_rounded(bench, moved, before, copied=0)


def the_init_in_another_shape(bench: Bench) -> None:
    """The same numbers, as many rows as there were columns."""
    _put_rounded(bench, _COARSE.T.copy(), _PRECISE, copied=0)


def no_numbers(bench: Bench) -> None:
    """A file without a tensor of numbers."""
    _put(bench, {}, _tensors(1))


@falsifier(
    "publication-weights",
    needs=("staged", "init"),
    measures={
        "non_finite": "numbers",
        "dead_rows": "rows",
        "repeated_layers": "layers",
        "copied_tensors": "tensors",
    },
    controls=(
        known_good(trained_weights),
        known_good(zeros_that_may_be),
        *(known_bad(build) for build in (not_a_number, infinities, an_overflow_in_sixteen_bits)),
        *(known_bad(build) for build in (a_dead_row, a_layer_twice, a_tensor_of_the_init)),
        *(known_bad(build) for build in (a_rounded_tensor_of_the_init, a_tensor_of_the_init_in_float16)),
        known_bad(a_widened_tensor_of_the_init),
        *(known_good(build) for build in (one_step_from_the_init, the_init_in_another_shape)),
        known_unusable(no_numbers, raises=ValueError),
    ),
)
def publication_weights(context: Context) -> Iterator[Measurement]:
    """Refuted when released weights are not finite, hold rows of zeros, a layer twice, or a matrix of the init, rounded
    to what the release is stored in."""
    released = _digests(context.evidence("staged"), _RELEASE)
    init = _digests(context.evidence("init"), _MODEL)
    staged = context.evidence("staged")
    broken = dead = numbers = 0
    for name, place in released.items():
        for part in _parts(staged, place):
            broken += int((~np.isfinite(part)).sum())
            numbers += part.size
            if len(place["shape"]) > 1 and not name.endswith(_TOKENS):
                dead += int((part == 0).all(axis=-1).sum())
    layers = _layers(released)
    matrices = [name for name, place in released.items() if len(place["shape"]) > 1]
    source = context.evidence("init")
    copied = [name for name in matrices if name in init and _is_copy((staged, released[name]), (source, init[name]))]
    if not numbers:
        raise ValueError(f"{staged.name} holds no numbers below {_RELEASE}")
    yield Measurement("non_finite", broken, "numbers", n=numbers)
    yield Measurement("dead_rows", dead, "rows", n=max(1, len(matrices)))
    yield Measurement("repeated_layers", len(layers) - len(set(layers)), "layers", n=max(1, len(layers)))
    yield Measurement("copied_tensors", len(copied), "tensors", n=max(1, len(matrices)))


def _is_copy(released: tuple[Evidence, Mapping[str, Any]], init: tuple[Evidence, Mapping[str, Any]]) -> bool:
    """Whether a tensor is the init's after no more than rounding, as a whole."""
    kind = released[1]["dtype"]
    return released[1]["shape"] == init[1]["shape"] and all(
        np.array_equal(_rounded(one, kind), _rounded(other, kind))
        for one, other in zip(_parts(*released), _parts(*init), strict=True)
    )


def _rounded(numbers: NDArray[Any], kind: str) -> NDArray[Any]:
    """To the nearest number of a format, to the even one of two. bfloat16, which numpy has not, as its bits."""
    if kind != "BF16":
        return numbers.astype(_NUMPY[kind])
    bits = numbers.astype(np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def _layers(tensors: Mapping[str, Mapping[str, Any]]) -> list[frozenset[tuple[str, str]]]:
    """What each layer is made of: its tensors' names in it and their digests."""
    found: dict[int, set[tuple[str, str]]] = {}
    for name, place in tensors.items():
        if layer := _LAYER.search(name):
            found.setdefault(int(layer[1]), set()).add((layer[2], place["sha256"]))
    return [frozenset(each) for each in found.values()]


def _digests(evidence: Evidence, folder: str) -> dict[str, dict[str, Any]]:
    """Every tensor of numbers in the safetensors below `folder`: dtype, shape, file, offset, SHA-256 of its bytes."""
    found: dict[str, dict[str, Any]] = {}
    for file in evidence.files:
        if not (file.startswith(folder) and file.endswith(".safetensors")):
            continue
        path = evidence.path(file)
        with path.open("rb") as stream:
            start = 8 + int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(start - 8))
            for name, each in header.items():
                if name != "__metadata__" and each["dtype"] in _NUMPY:
                    first, last = each["data_offsets"]
                    stream.seek(start + first)
                    sha256 = hashlib.sha256(stream.read(last - first)).hexdigest()
                    found[name] = {**each, "file": file, "offset": start + first, "sha256": sha256}
    return found


def _parts(evidence: Evidence, place: Mapping[str, Any]) -> Iterator[NDArray[Any]]:
    """Rows of a tensor, some of them at a time."""
    shape = place["shape"] or [1]
    width = int(shape[-1])
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    dtype = np.dtype(_NUMPY[place["dtype"]])
    numbers = np.memmap(evidence.path(place["file"]), dtype, "r", place["offset"], (rows, width))
    for part in np.array_split(numbers, range(_ROWS_AT_ONCE, rows, _ROWS_AT_ONCE)):
        yield (part.astype(np.uint32) << 16).view(np.float32) if place["dtype"] == "BF16" else part
